"""The sentiment of headlines is VADER's."""

from __future__ import annotations

import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from pas_dagster.sources.sentiment import MOST_CHARACTERS, score


def test_scores_are_vaders_in_the_order_of_the_headlines() -> None:
    headlines = [
        "Apple Gets Dutch Antitrust Order",
        "Profits surge on great demand",
        "Fraud lawsuit",
        "",
        "Fraud lawsuit",
    ]
    analyzer = SentimentIntensityAnalyzer()
    assert score(headlines) == [analyzer.polarity_scores(text)["compound"] for text in headlines]
    assert score(["Profits surge on great demand"])[0] > 0.5 > 0 > score(["Fraud lawsuit"])[0]
    assert score([]) == []


@pytest.mark.parametrize("text", ["good but bad " * 100_000, "!" * 1_000_000, "\U0001f600" * 200_000, "a" * 1_000_000])
def test_of_a_monstrous_headline_the_beginning_is_scored(text: str) -> None:
    assert score([text]) == score([text[:MOST_CHARACTERS]])
