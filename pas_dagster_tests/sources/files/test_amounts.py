import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.schemas import normalise_symbols
from pas_dagster.sources.disclosures import BRACKETS, amount, asset_type, person


@pytest.mark.parametrize("bracket", BRACKETS)
def test_every_bracket_whole_and_cut(bracket: tuple[int, int]) -> None:
    low, high = bracket
    for text in (f"${low:,} - ${high:,}", f"${low:,}", f"${low:,} -  ${high:,}", f"{low}.0"):
        found = amount(text)
        assert found is not None
        assert (found.low, found.high, found.mid) == (low, high, (low + high) / 2)


@pytest.mark.parametrize(
    ("text", "low"),
    [("Over $50,000,000", 50_000_001), ("Spouse/DC Over $1,000,000", 1_000_001), ("$50,000,001 +", 50_000_001)],
)
def test_open_brackets(text: str, low: int) -> None:
    found = amount(text)
    assert found is not None
    assert (found.low, found.high, found.mid) == (low, None, low)


def test_small_amounts_are_exact() -> None:
    found = amount("$620")
    assert found is not None
    assert (found.low, found.high, found.mid) == (620, 620, 620)


@pytest.mark.parametrize("text", ["", "Unknown", "$4,450", "$15,001 - $60,000", "Over $7", "$0", "-", "$,", "1,001 -"])
def test_what_is_no_bracket(text: str) -> None:
    assert amount(text) is None


@given(st.text(max_size=40))
def test_any_text_is_a_bracket_or_nothing(text: str) -> None:
    found = amount(text)
    assert found is None or (found.mid > 0 and (found.high is None or found.low <= found.mid <= found.high))


@given(st.integers(1_001, 10**9))
def test_a_lone_amount_means_a_bracket_only_at_its_lower_end(dollars: int) -> None:
    found = amount(f"${dollars:,}")
    assert (found is not None) == (dollars in {low for low, _ in BRACKETS} | {50_000_001})


@given(st.from_regex(r"[A-Z][A-Z0-9]{0,5}(\.[A-Z]{1,2})?", fullmatch=True), st.sampled_from([".", "-", "/", " "]))
def test_symbols_have_one_spelling(symbol: str, separator: str) -> None:
    spelled = f" {symbol.replace('.', separator).lower()} "
    once = normalise_symbols(pd.Series([spelled]))
    assert once.tolist() == [symbol]
    assert normalise_symbols(once).tolist() == [symbol]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Hon. Nancy Pelosi", "Nancy Pelosi"),
        ("Neal Patrick Dunn MD, FACS", "Neal Patrick Dunn"),
        ("James E Hon Banks", "James E Banks"),
        ("Marjorie Taylor Mrs Greene", "Marjorie Taylor Greene"),
        ("Scott Scott Franklin", "Scott Franklin"),
        ("Drew Ferguson", "Drew Ferguson"),
        ("Raúl M. Grijalva", "Raúl M. Grijalva"),
    ],
)
def test_names(name: str, plain: str) -> None:
    assert person(name) == plain


@pytest.mark.parametrize(
    ("given_type", "description", "has_symbol", "kind"),
    [
        ("Stock", "Apple Inc.", True, "stock"),
        ("Stock", "Schwab uS Aggregate Bond ETF", True, "etf"),
        ("Stock", "holdings into passive ETFs and mutual funds. Visa Inc.", True, "stock"),
        ("Other", "Direxion Daily Small Cap Bull 3X ETF", True, "etf"),
        ("ET", "ProShares Short QQQ", True, "etf"),
        ("Option", "Netflix, Inc.", True, "option"),
        ("Gov Security", "US Treasury Bill", False, "bond"),
        ("CS", "Lowes note", False, "bond"),
        ("HN", "A fund LP", False, "other"),
        ("", "NGL Energy", True, "stock"),
        ("", "Apple Inc. [sT]", True, "stock"),
        ("", "Apple Inc. [OP]", True, "option"),
        ("", "A farm", False, "other"),
    ],
)
def test_asset_types(given_type: str, description: str, has_symbol: bool, kind: str) -> None:
    assert asset_type(given_type, description, has_symbol) == kind
