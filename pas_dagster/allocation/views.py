"""What the owner expects of sleeves: views by name and per year, as the settings tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pas_dagster.allocation.log import in_percent

_ABSOLUTE, _RELATIVE = {"sleeve"}, {"above", "below"}
_NUMBERS = {"expected", "confidence"}


@dataclass(frozen=True, slots=True)
class NamedView:
    """An expected return of a sleeve, or of one sleeve less another.

    Attributes:
        sleeve: the one that the view is of; of two the one that returns more, if `expected` is positive.
        below: the other one; None if the view is of a single sleeve.
        expected: return per year, as a decimal, cash included; with `below` the difference.
        confidence: how far the view alone moves what is expected from the equilibrium towards itself; 1/2 is as
            uncertain as the equilibrium.

    Raises:
        ValueError: a name or number has no meaning; one sentence names it.

    >>> NamedView("wsb_buzz", None, 8.0)
    Traceback (most recent call last):
    ...
    ValueError: the view of wsb_buzz needs an expected return between -1 and 1 (0.08 is 8 % a year), not 8.0
    """

    sleeve: str
    below: str | None
    expected: float
    confidence: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a view that has no meaning."""
        for name in (self.sleeve,) if self.below is None else (self.sleeve, self.below):
            if not isinstance(name, str) or not name:
                raise ValueError(f"a view needs the name of a sleeve, not {name!r}")
        if self.sleeve == self.below:
            raise ValueError(f"a view of {self.sleeve} above itself says nothing, name two sleeves")
        if not _within(self.expected, -1.0, 1.0):
            rule = "an expected return between -1 and 1 (0.08 is 8 % a year)"
            raise ValueError(f"the view of {self.subject} needs {rule}, not {self.expected!r}")
        if not _within(self.confidence, 0.01, 0.99):
            rule = "a confidence between 0.01 and 0.99"
            raise ValueError(f"the view of {self.subject} needs {rule}, not {self.confidence!r}")

    @property
    def names(self) -> frozenset[str]:
        """The sleeves that the view is of."""
        return frozenset({self.sleeve} if self.below is None else {self.sleeve, self.below})

    @property
    def subject(self) -> str:
        """What the view is of, in words."""
        return self.sleeve if self.below is None else f"{self.sleeve} above {self.below}"

    def __str__(self) -> str:
        """The view in words.

        >>> str(NamedView("glide_path", "wsb_buzz", 0.04))
        'glide_path above wsb_buzz (4 % expected, confidence 50 %)'
        """
        return f"{self.subject} ({in_percent(self.expected)} expected, confidence {in_percent(self.confidence)})"


def named_views(told: Sequence[Mapping[str, object]]) -> tuple[NamedView, ...]:
    """The views of a list of settings.

    Args:
        told: of each view `expected`, perhaps `confidence`, and either `sleeve` or both `above` and `below`.

    Raises:
        ValueError: one of them has no meaning; one sentence names its place in the list, the rule and what to do.

    >>> named_views([{"sleeve": "wsb_buzz", "expected": 0.1}])[0].subject
    'wsb_buzz'
    >>> named_views([{"above": "wsb_buzz", "expected": 0.1}])
    Traceback (most recent call last):
    ...
    ValueError: view 1: it names above alone, and a view is of one `sleeve`, or of one `above` and one `below`
    """
    found: list[NamedView] = []
    for place, one in enumerate(told, start=1):
        try:
            found.append(_named_view(one))
            if repeated(found):
                raise ValueError(f"there is one of {found[-1].subject} before it, keep one of them")
        except ValueError as error:
            raise ValueError(f"view {place}: {error}") from None
    return tuple(found)


def repeated(views: Sequence[NamedView]) -> str:
    """What more than one view is of, in words; empty if there is no such thing.

    >>> repeated([NamedView("a", "b", 0.1), NamedView("c", None, 0.1), NamedView("b", "a", -0.1)])
    'b above a'
    """
    seen: set[frozenset[str]] = set()
    for view in views:
        if view.names in seen:
            return view.subject
        seen.add(view.names)
    return ""


def _named_view(told: Mapping[str, object]) -> NamedView:
    """One view of the settings."""
    unknown = sorted(set(told) - _ABSOLUTE - _RELATIVE - _NUMBERS)
    if unknown:
        raise ValueError(f"it has {unknown[0]!r}, and a view has only sleeve or above and below, expected, confidence")
    subject = set(told) & (_ABSOLUTE | _RELATIVE)
    if subject not in (_ABSOLUTE, _RELATIVE):
        kinds = " and ".join(sorted(subject)) + (" alone" if len(subject) == 1 else " together")
        rule = "a view is of one `sleeve`, or of one `above` and one `below`"
        raise ValueError(f"it names {kinds if subject else 'no sleeve'}, and {rule}")
    sleeve, below = (told["sleeve"], None) if subject == _ABSOLUTE else (told["above"], told["below"])
    if below is None and subject == _RELATIVE:
        raise ValueError("a view needs the name of a sleeve, not None")
    numbers = {"expected": told.get("expected")} | {key: told[key] for key in ("confidence",) if key in told}
    return NamedView(sleeve, below, **numbers)  # ty: ignore[invalid-argument-type]  # it checks them itself


def _within(value: object, least: float, most: float) -> bool:
    """Whether something is a number of a range."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
