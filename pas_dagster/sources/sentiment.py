"""The sentiment of a headline: VADER's compound score (Hutto & Gilbert 2014, https://github.com/cjhutto/vaderSentiment).

VADER is a lexicon of social media with rules for negation and emphasis; it knows no finance words beyond those.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

MOST_CHARACTERS = 500
"""Of a longer text the beginning is scored: VADER's time grows with the square of the number of words."""


def score(headlines: Sequence[str]) -> list[float]:
    """Compound sentiment of each headline, in [-1, 1] with four decimals; equal headlines are scored once."""
    analyzer = _analyzer()
    known = {text: analyzer.polarity_scores(text[:MOST_CHARACTERS])["compound"] for text in dict.fromkeys(headlines)}
    return [known[text] for text in headlines]


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    """One for the process; loading its lexicon takes longer than scoring a hundred headlines."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
