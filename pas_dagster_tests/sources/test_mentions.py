"""Which symbols a text mentions."""

from __future__ import annotations

import csv
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.sources.mentions import STOP_WORDS, mentioned
from pas_dagster_tests.recorded import recorded_bytes

LISTED = frozenset({"TSLA", "F", "GM", "BRK.B", "ALL", "ARE", "IT", "A", "DD", "CAT", "GME", "PLTR", "YOU"})


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("$TSLA to 1000", {"TSLA"}),
        ("tesla or $tsla?", {"TSLA"}),
        ("Sold TSLA, bought GME.", {"TSLA", "GME"}),
        ("TSLA TSLA $TSLA today", {"TSLA"}),
        ("TSLA-IV is low; (GME) too", {"TSLA", "GME"}),
        ("Warren's BRK.B and $brk-b", {"BRK.B"}),
        ("$F and $GM rally", {"F", "GM"}),
        ("an $ALL time high for $it", {"ALL", "IT"}),
        ("Costs $5 or US$100", set()),
    ],
)
def test_cashtags_and_symbols_in_capitals_count_once(text: str, symbols: set[str]) -> None:
    assert mentioned(text, LISTED) == symbols


@pytest.mark.parametrize(
    "text",
    [
        "we are all in it for you",
        "ALL of YOU ARE wrong, my DD says so",
        "IT and A and F and GM are too short for words",
        "my cat is a gme fan",
        "CAT GANG TO THE MOON",
        "NOTSLA and TSLAQ and xTSLA",
        "mail me at TSLA2021",
        "",
    ],
)
def test_ordinary_words_are_no_mentions(text: str) -> None:
    assert mentioned(text, LISTED) == set()


def test_a_line_of_capitals_counts_its_cashtags_only_and_other_lines_as_usual() -> None:
    assert mentioned("BUY GME AND $PLTR NOW\nor TSLA", LISTED) == {"PLTR", "TSLA"}


def test_unlisted_symbols_are_no_mentions() -> None:
    assert mentioned("$DOGE and AAPL", LISTED) == set()


@pytest.mark.shared
def test_recorded_posts_are_counted_nearly_as_a_search_counts_them() -> None:
    """A search for the cashtag or the word in capitals finds GME in 380 posts, PLTR in 276, TSLA in 114, AMC in 12.

    A search in capitalised text finds ALL in 484 and YOLO in 136: what counting like that is worth.
    """
    posts = csv.DictReader(io.StringIO(recorded_bytes("reddit/wsb_posts_2021-01-01_2021-01-04.csv.gz").decode()))
    listed = frozenset({"GME", "PLTR", "TSLA", "AMC", "ALL", "DD", "YOLO"})
    found = Counter(symbol for post in posts for symbol in mentioned(f"{post['title']}\n{post['text']}", listed))
    assert 0.9 * 380 < found["GME"] <= 380
    assert 0.9 * 276 < found["PLTR"] <= 276
    assert 0.9 * 114 < found["TSLA"] <= 114
    assert 8 <= found["AMC"] <= 12
    assert found["ALL"] + found["DD"] + found["YOLO"] <= 3


@given(st.text(alphabet=st.sampled_from("$.-ABTSLAtsla \n1é")), st.frozensets(st.sampled_from(sorted(LISTED))))
def test_only_listed_symbols_are_found(text: str, listed: frozenset[str]) -> None:
    assert mentioned(text, listed) <= listed


def test_stop_words_are_words_in_capitals() -> None:
    assert all(word.isalpha() and word.isupper() for word in STOP_WORDS)
    assert not {"GME", "TSLA", "AMD", "SPY", "NVDA"} & STOP_WORDS
