"""Legal names find their symbols, and nothing else does."""

from __future__ import annotations

import csv
import doctest
import io
import json

import pandas as pd
import pytest

from pas_dagster.sandbox import legal_names
from pas_dagster.sandbox.listing import companies as sandbox_companies
from pas_dagster.sources import companies
from pas_dagster.sources.companies import ALIASES, Names, plain
from pas_dagster_tests.recorded import recorded_bytes

OTHER_CLASS = {"GOOG": "GOOGL", "FOX": "FOXA", "NWS": "NWSA"}


def names(*pairs: tuple[str, str], **aliases: str) -> Names:
    return Names(pd.DataFrame(pairs, columns=["symbol", "name"]), {k.replace("_", " "): v for k, v in aliases.items()})


@pytest.fixture(scope="module")
def constituents() -> pd.DataFrame:
    content = recorded_bytes("constituents/sp500_current_2026-08.csv")
    return pd.read_csv(io.BytesIO(content)).rename(columns={"Symbol": "symbol", "Security": "name"})


@pytest.fixture(scope="module")
def legal(constituents: pd.DataFrame) -> pd.DataFrame:
    """The SEC's names of the companies of the index."""
    entries = json.loads(recorded_bytes("sec/company_tickers.json.gz")).values()
    frame = pd.DataFrame([(e["ticker"].replace("-", "."), e["title"]) for e in entries], columns=["symbol", "name"])
    return frame[frame["symbol"].isin(constituents["symbol"])]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("THE BOEING COMPANY", "Boeing Co"),
        ("BOEING COMPANY", "BOEING CO"),
        ("LEIDOS, INC.", "Leidos Holdings, Inc."),
        ("WELLS FARGO & CO", "WELLS FARGO & COMPANY/MN"),
        ("WELLS FARGO AND COMPANY", "WELLS FARGO & COMPANY/MN"),
        ("Kroger Co., The", "The Kroger Company"),
        ("J.P. MORGAN L.L.C.", "JP Morgan"),
        ("AMAZON.COM, INC.", "AMAZON COM INC"),
        ("LOWE'S COMPANIES, INC.", "LOWES COMPANIES INC"),
        ("ESTEE LAUDER INC.", "Estée Lauder Companies (The)"),
        ("L3HARRIS TECHNOLOGIES, INC.", "L3HARRIS TECHNOLOGIES, INC. /DE/"),
        ("Brown Forman Corporation", "Brown-Forman Corp Class B Common Stock"),
    ],
)
def test_a_legal_name_is_the_company_whatever_its_form(written: str, meant: str) -> None:
    assert names(("AAA", meant), ("ZZZ", "Zenith Zinc plc")).symbol(written) == "AAA"


@pytest.mark.parametrize(
    "written", ["TARGET GROUP INC", "TARGET HOSPITALITY CORP", "TARG", "ON TARGET INC", "", "INC", "&", "\ud800"]
)
def test_what_is_only_like_a_name_has_no_symbol(written: str) -> None:
    assert names(("TGT", "Target Corp"), ("LDOS", "Leidos Holdings")).symbol(written) is None


def test_a_name_of_two_symbols_is_nobodys() -> None:
    two = names(("UA", "Under Armour, Inc."), ("UAA", "Under Armour, Inc."), ("A", "Alpha Group"), ("B", "Alpha Trust"))
    assert two.symbol("UNDER ARMOUR INC") is None
    assert two.symbol("ALPHA LLC") is None
    assert two.symbol("ALPHA GROUP") == "A"


def test_aliases_count_where_the_symbol_is_listed_and_own_ones_come_first() -> None:
    known = names(("RTX", "RTX Corp"), ("GOOGL", "Alphabet Inc. (Class A)"), ("GOOG", "Alphabet Inc. (Class C)"))
    assert known.symbol("RAYTHEON COMPANY") == "RTX"
    assert known.symbol("ALPHABET INC") == known.symbol("Google LLC") == "GOOGL"
    assert known.symbol("SIKORSKY AIRCRAFT CORPORATION") is None
    assert names(("RTX", "RTX Corp"), RTX_Corp="OWN", Acme_Works_LLC="ACM").symbol("ACME WORKS INC") == "ACM"
    assert names(("RTX", "RTX Corp"), RTX_Corp="OWN").symbol("RTX CORPORATION") == "OWN"


def test_built_in_aliases_are_written_as_they_are_looked_up() -> None:
    assert [alias for alias in ALIASES if plain(alias) != alias] == []


def test_many_names_at_once_are_looked_up_as_one_by_one() -> None:
    asked = pd.Series(["LEIDOS, INC.", None, "NOBODY", "LEIDOS, INC."], index=[4, 5, 6, 7])
    found = names(("LDOS", "Leidos Holdings")).symbols(asked)
    assert found.to_dict() == {4: "LDOS", 5: None, 6: None, 7: "LDOS"}


def test_every_legal_name_of_the_sandbox_finds_its_company() -> None:
    stocks = sandbox_companies()
    known = names(*((stock.symbol, stock.name) for stock in stocks))
    for number, stock in enumerate(stocks):
        assert {known.symbol(legal_names.legal_name(number, variant)) for variant in (0, 1)} == {stock.symbol}
    others = (*legal_names.ASSOCIATIONS, *legal_names.CONTRACTORS, *legal_names.FIRMS)
    assert {known.symbol(other) for other in others} == {None}


@pytest.mark.parametrize("module", [companies, legal_names])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.shared
def test_of_the_index_449_of_503_names_are_answered_and_none_with_another_company(
    constituents: pd.DataFrame, legal: pd.DataFrame
) -> None:
    found = Names(legal).symbols(constituents["name"])
    answered = found.notna()
    wrong = answered & (found != constituents["symbol"])
    assert (len(constituents), answered.sum()) == (503, 449)
    assert dict(zip(constituents["symbol"][wrong], found[wrong], strict=True)) == OTHER_CLASS


@pytest.mark.shared
def test_of_60_federal_recipients_14_of_17_are_found_and_no_other_is(legal: pd.DataFrame) -> None:
    content = recorded_bytes("usaspending/spending_by_award_flat_2026-04-27.csv").decode()
    recipients = pd.Series([row["recipient"] for row in csv.DictReader(io.StringIO(content))])
    found = Names(legal).symbols(recipients)
    # By hand: beside these, Honeywell's two laboratories and L3Harris' Aerojet belong to companies of the index.
    assert len(recipients) == 60
    assert found.value_counts().to_dict() == {"BA": 3, "LMT": 3, "LHX": 3, "NOC": 2, "LDOS": 1, "DELL": 1, "GD": 1}
    by_name = dict(zip(recipients, found, strict=True))
    assert by_name["LOCKHEED MARTIN SERVICES, LLC"] == "LMT"
    assert by_name["HARRIS CORPORATION"] == "LHX"
    assert by_name["FLUOR-BWXT PORTSMOUTH LLC"] is None
