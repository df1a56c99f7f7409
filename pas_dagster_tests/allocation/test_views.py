"""Views as the settings tell them: what they mean, and one sentence for each that means nothing."""

import pytest

from pas_dagster.allocation.views import NamedView, named_views


def test_a_view_is_of_one_sleeve_or_of_one_above_another() -> None:
    told = [
        {"sleeve": "a", "expected": 0.1},
        {"above": "b", "below": "a", "expected": -0.02, "confidence": 0.9},
        {"above": "b", "below": "c", "expected": 0},
    ]
    assert named_views(told) == (
        NamedView("a", None, 0.1, 0.5),
        NamedView("b", "a", -0.02, 0.9),
        NamedView("b", "c", 0.0, 0.5),
    )
    assert [view.subject for view in named_views(told)] == ["a", "b above a", "b above c"]
    assert named_views([]) == ()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"expected": 0.1}, "it names no sleeve, and a view is of one `sleeve`, or of one `above` and one `below`"),
        ({"sleeve": "a", "below": "b", "expected": 0.1}, "it names below and sleeve together, and a view is of one"),
        ({"sleeve": "a", "above": "b", "below": "c", "expected": 0.1}, "it names above and below and sleeve together"),
        ({"below": "b", "expected": 0.1}, "it names below alone, and a view is of one"),
        ({"sleeve": "a", "expects": 0.1}, "it has 'expects', and a view has only sleeve or above and below, expected"),
        ({"sleeve": "a"}, r"the view of a needs an expected return between -1 and 1 \(0.08 is 8 % a year\), not None"),
        ({"sleeve": "a", "expected": "8%"}, "needs an expected return .* not '8%'"),
        ({"sleeve": "a", "expected": 8}, "needs an expected return .* not 8"),
        ({"sleeve": "a", "expected": True}, "needs an expected return .* not True"),
        ({"sleeve": "a", "expected": float("nan")}, "needs an expected return .* not nan"),
        ({"above": "a", "below": "b", "expected": 0.1, "confidence": 1}, "the view of a above b needs a confidence"),
        ({"sleeve": "a", "expected": 0.1, "confidence": None}, "a confidence between 0.01 and 0.99, not None"),
        ({"above": "a", "below": "a", "expected": 0.1}, "a view of a above itself says nothing, name two sleeves"),
        ({"above": "a", "below": None, "expected": 0.1}, "a view needs the name of a sleeve, not None"),
        ({"above": ["a"], "below": "b", "expected": 0.1}, r"a view needs the name of a sleeve, not \['a'\]"),
        ({"sleeve": "", "expected": 0.1}, "a view needs the name of a sleeve, not ''"),
        ({"above": "y", "below": "x", "expected": 0.1}, "there is one of y above x before it, keep one of them"),
    ],
)
def test_a_view_without_a_meaning_is_refused_in_one_sentence_with_its_place(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=f"^view 2: .*{words}") as caught:
        named_views([{"above": "x", "below": "y", "expected": 0.1}, wrong])
    assert "\n" not in str(caught.value)
