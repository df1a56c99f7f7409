from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.insider_buying_pulse import insider_buying_pulse
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"  # a Monday
LISTED = universe("AAPL", "BA", "LMT", "RTX", "XOM")

Row = dict[str, Any]
_filings = count(1)

PURCHASE = {
    "line": 1,
    "insider": "Doe Jane",
    "role": "officer",
    "code": "P",
    "direction": "buy",
    "shares": 100.0,
    "price": 10.0,
    "plan": None,
    "amendment": False,
}
COLUMNS = ["known_on", "event_date", "accession", "symbol", *PURCHASE]


def line(symbol: str | None, known_on: str = "2024-06-12", **given: Any) -> Row:
    """An officer's purchase of 100 shares at 10 USD, on the third of June and in a filing of its own unless told so."""
    facts = {"known_on": known_on, "event_date": "2024-06-03", "accession": f"A{next(_filings):05d}", "symbol": symbol}
    return PURCHASE | facts | given


def sale(symbol: str, shares: float, **given: Any) -> Row:
    return line(symbol, code="S", direction="sell", shares=shares, **given)


def amended(original: Row, known_on: str = "2024-06-20", **given: Any) -> Row:
    """The line as a 4/A tells it."""
    return original | {"known_on": known_on, "accession": f"A{next(_filings):05d}", "amendment": True} | given


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=COLUMNS)
    days = {name: pd.to_datetime(made[name]).astype("datetime64[us]") for name in ("known_on", "event_date")}
    texts = ["accession", "symbol", "insider", "role", "code", "direction", "plan"]
    types = {**dict.fromkeys(texts, "str"), "line": int, "shares": float, "price": float, "amendment": bool}
    return made.assign(**days).astype(types)


def run(
    *rows: Row,
    top: int = 25,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    corporate_actions: pd.DataFrame | None = None,
) -> list[str]:
    tables = {"insider_buying": table(rows), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(insider_buying_pulse.with_parameters({"top_n": top}), day, **tables))


def than(dollars: float, *rows: Row) -> bool:
    """Whether the net of the rows, all in BA, is more than so many dollars; they must not be the same."""
    held = run(*rows, line("AAPL", shares=dollars, price=1.0, insider="Other"), top=1)
    return held == ["BA"]


def test_the_largest_net_purchases_in_dollars_are_held_in_equal_weight():
    rows = [
        line("AAPL", shares=10.0, price=200.0),  # 2,000 USD
        line("BA", shares=1_000.0, price=1.0),  # many shares, 1,000 USD
        line("LMT", shares=30.0, price=100.0),  # 3,000 USD less 1,500 USD
        sale("LMT", 15.0, price=100.0),
    ]
    chosen = insider_buying_pulse.with_parameters({"top_n": 2})
    assert decide(chosen, DAY, insider_buying=table(rows), universe=LISTED) == {"AAPL": 0.5, "LMT": 0.5}


def test_twenty_five_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(40)]
    rows = [line(name, shares=1.0 + n) for n, name in enumerate(names)]
    weights = decide(insider_buying_pulse, DAY, insider_buying=table(rows), universe=universe(*names))
    assert weights == dict.fromkeys(names[15:], 0.04)


def test_ties_go_by_symbol():
    assert run(line("XOM"), line("LMT"), line("BA", shares=50.0, price=20.0), top=2) == ["BA", "LMT"]


def test_sales_do_not_rank_as_purchases_and_no_net_buying_means_cash():
    assert run(sale("BA", 900.0)) == []
    assert run(line("BA"), sale("BA", 100.0)) == []
    assert run(line("BA", role="director")) == []


@pytest.mark.parametrize("role", ["director", "owner", "other", None])
def test_only_officers_are_executives(role: str | None):
    assert run(line("BA", role=role), line("LMT")) == ["LMT"]
    assert run(line("LMT"), sale("LMT", 900.0, role=role)) == ["LMT"]


@pytest.mark.parametrize(
    ("code", "direction"), [("A", "buy"), ("M", "buy"), ("J", "buy"), ("F", "sell"), ("G", "sell")]
)
def test_grants_exercises_gifts_and_taxes_are_neither_purchases_nor_sales(code: str, direction: str):
    assert run(line("BA", code=code, direction=direction), line("LMT")) == ["LMT"]
    assert run(line("LMT"), line("LMT", code=code, direction=direction, shares=900.0)) == ["LMT"]


def test_a_line_that_contradicts_itself_adds_nothing():
    assert run(line("BA", direction="sell"), line("LMT")) == ["LMT"]
    assert run(line("LMT"), sale("LMT", 900.0) | {"direction": "buy"}) == ["LMT"]


@pytest.mark.parametrize("plan", ["yes", "no", None])
def test_a_sale_under_a_plan_is_a_sale_and_never_a_purchase(plan: str | None):
    assert run(sale("BA", 900.0, plan=plan), line("LMT")) == ["LMT"]
    assert not than(500.0, line("BA"), sale("BA", 60.0, plan=plan))  # 1,000 USD less 600 USD
    assert than(500.0, line("BA"), sale("BA", 40.0, plan=plan))


def test_a_missing_price_adds_nothing():
    assert run(line("BA", price=float("nan")), line("LMT")) == ["LMT"]
    assert run(line("LMT"), sale("LMT", 900.0, price=float("nan"))) == ["LMT"]


def test_one_cent_more_is_more():
    assert than(1_000.00, line("BA", shares=99_999.0, price=0.01), line("BA", shares=1.0, price=0.02))
    assert not than(1_000.01, line("BA", shares=99_999.0, price=0.01), line("BA", shares=1.0, price=0.02))


@pytest.mark.parametrize(
    ("known_on", "seen"), [("2024-05-31", False), ("2024-06-01", True), ("2024-06-30", True), (DAY, False)]
)
def test_the_window_is_thirty_days_of_filing_not_of_trading(known_on: str, seen: bool):
    late = line("BA", known_on, event_date="2023-11-01")
    assert run(late, line("LMT")) == (["BA", "LMT"] if seen else ["LMT"])


def test_no_filing_in_thirty_days_means_undecided():
    for rows in ([], [line("BA", "2024-05-31")], [line("BA", DAY)]):
        with pytest.raises(NotEnoughData, match="no insider's filing"):
            run(*rows)


def test_a_line_published_again_counts_once_from_its_first_day_as_last_published():
    once = line("BA")
    assert not than(1_500.0, once, once | {"known_on": "2024-06-13"})
    assert than(1_500.0, once, once | {"known_on": "2024-06-13", "shares": 200.0})
    assert run(once | {"known_on": "2024-05-20"}, once, line("LMT")) == ["LMT"]
    assert run(once, once | {"known_on": "2024-06-13", "code": "A"}, line("LMT")) == ["LMT"]


def test_equal_lines_of_one_filing_and_of_two_are_separate_purchases():
    once = line("BA")
    assert than(1_500.0, once, once | {"line": 2})
    assert than(1_500.0, once, line("BA"))


def test_an_amendment_that_repeats_all_lines_and_mends_one_counts_once():
    first, second = line("BA", accession="X"), line("BA", accession="X", line=2, shares=50.0, price=11.0)
    again = {"accession": "Y"}
    rows = [first, second, amended(first, shares=110.0, **again), amended(second, **again)]
    assert than(1_600.0, *rows)  # 110 x 10 + 50 x 11 = 1,650
    assert not than(1_700.0, *rows)


def test_an_amendment_takes_sales_back_as_well():
    sold = sale("BA", 90.0, insider="Roe Richard")
    rows = [line("BA"), sold, amended(sold, shares=20.0)]
    assert than(790.0, *rows)  # 1,000 - 200
    assert not than(810.0, *rows)


def test_lines_that_an_amendment_does_not_repeat_stand():
    parts = [line("BA", accession="X", line=n, shares=100.0 * n, price=10.0 + n) for n in (1, 2, 3)]
    # 1,100 + 2,400 + 3,900; the amendment mends the third, and numbers it as its own first.
    rows = [*parts, amended(parts[2], line=1, shares=30.0)]
    assert than(3_880.0, *rows)  # 1,100 + 2,400 + 30 x 13
    assert not than(3_900.0, *rows)


def test_a_mean_that_is_told_apart_again_counts_once():
    mean = line("BA", shares=100.0, price=10.0)
    rows = [mean, amended(mean, accession="Y", shares=40.0, price=9.0)]
    rows.append(amended(mean, accession="Y", line=2, shares=60.0, price=11.0))
    assert than(1_010.0, *rows)  # 360 + 660
    assert not than(1_030.0, *rows)


def test_a_purchase_that_was_none_is_taken_back():
    wrong = line("BA")
    assert run(wrong, amended(wrong, code="A", price=0.0), line("LMT")) == ["LMT"]
    assert run(wrong, amended(wrong, code="S", direction="sell"), line("LMT")) == ["LMT"]


def test_an_amendment_of_a_role_replaces_the_line_of_the_executive():
    wrong = line("BA")
    assert run(wrong, amended(wrong, role="director"), line("LMT")) == ["LMT"]
    assert run(amended(wrong, role="officer"), wrong | {"role": "director"}) == ["BA"]


def test_a_line_that_an_amendment_adds_is_added():
    first = line("BA", accession="X")
    added = amended(first, line=2, shares=55.0, price=12.0)
    assert than(1_600.0, first, added)  # 1,000 + 660


@pytest.mark.parametrize("other", [{"insider": "Roe Richard"}, {"event_date": "2024-06-04"}, {"symbol": "AAPL"}])
def test_only_lines_of_the_same_insider_company_and_day_of_trade_are_replaced(other: dict[str, str]):
    rows = [line("BA"), amended(line("BA") | other)]
    if "symbol" in other:
        assert run(*rows) == ["AAPL", "BA"]
    else:
        assert than(1_900.0, *rows)


def test_an_amendment_replaces_what_an_earlier_amendment_told():
    first = line("BA")
    second = amended(first, "2024-06-14", shares=200.0)
    third = amended(second, "2024-06-15", shares=150.0)
    assert than(1_490.0, first, second, third)
    assert not than(1_510.0, first, second, third)


def test_an_amendment_of_the_day_of_its_original_comes_after_it_whatever_its_number():
    first = line("BA", accession="Z")
    assert not than(1_010.0, first, amended(first, "2024-06-12", accession="A", shares=90.0))


def test_lines_of_one_amendment_do_not_replace_each_other():
    first = amended(line("BA"), accession="Y")
    assert than(1_900.0, first, first | {"line": 2})


def test_a_filing_that_is_no_amendment_replaces_nothing():
    first = amended(line("BA"), "2024-06-10")
    assert than(1_900.0, first, line("BA", "2024-06-12"))


def test_an_amendment_does_not_make_an_old_purchase_news():
    old = line("BA", "2024-05-25")
    assert run(old, amended(old, shares=900.0), line("LMT")) == ["LMT"]
    chain = amended(old, "2024-06-10", shares=900.0)
    assert run(old, chain, amended(chain, shares=800.0), line("LMT")) == ["LMT"]


def test_an_amendment_of_what_was_filed_more_than_sixty_days_ago_is_new():
    old = line("BA", "2024-05-02")
    assert run(old, amended(old), line("LMT")) == ["LMT"]
    assert run(old | {"known_on": "2024-05-01"}, amended(old), line("LMT")) == ["BA", "LMT"]


def test_an_amendment_of_the_decision_day_is_not_seen():
    first = line("BA")
    assert run(first, amended(first, DAY, code="A")) == ["BA"]


def test_what_is_not_listed_or_no_symbol_takes_nobodys_place():
    listed = frame([member("BA", "2020-01-02"), member("LMT", "2020-01-02"), member("LMT", "2024-06-20", "remove")])
    listed = pd.concat([listed, universe("RTN  RTX")], ignore_index=True)
    rows = [line(symbol, shares=900.0) for symbol in ("LMT", "PRIVT", "RTN  RTX", None)]
    assert run(*rows, line("BA"), listed=listed, top=1) == ["BA"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-12", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    first = line("FB", "2024-06-05")
    mended = amended(first, symbol="META", code="A")
    assert run(first, listed=listed, corporate_actions=changes) == ["META"]
    assert run(first, mended, listed=listed, corporate_actions=changes) == []


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = whole["insider_buying"][["known_on", *insider_buying_pulse.reads["insider_buying"].columns]]
    tables = {"insider_buying": cut, "universe": whole["universe"], "corporate_actions": whole["corporate_actions"]}
    day = date(2021, 3, 1)
    found = decide(insider_buying_pulse, str(day), None, **tables)
    assert found == worlds.outcome(insider_buying_pulse, worlds.history(), day)


def _listed(universe: pd.DataFrame, day: date) -> set[str]:
    last: dict[tuple[str, str], str] = {}
    known = universe[universe["known_on"] < pd.Timestamp(day)].sort_values(
        ["known_on", "action"], ascending=[True, False]
    )
    for symbol, index, action in zip(known["symbol"], known["index_name"], known["action"], strict=True):
        last[symbol, index] = action
    return {symbol for (symbol, _), action in last.items() if action == "add"}


def oracle(tables: worlds.Tables, day: date) -> Mapping[str, float] | None:
    """The rule by the sandbox's own way to amend, in which a 4/A repeats every line under its number."""
    cut = pd.Timestamp(day)
    filed = tables["insider_buying"]
    filed = filed[filed["known_on"] < cut]
    if not (filed["known_on"] >= cut - timedelta(30)).any():
        return None
    moves = tables["corporate_actions"]
    moves = moves[(moves["kind"] == "symbol_change") & (moves["known_on"] < cut) & (moves["event_date"] <= cut)]
    renamed = dict(zip(moves["symbol"], moves["new_symbol"], strict=True))
    told: dict[tuple[object, ...], tuple[pd.Timestamp, Row]] = {}
    recent = filed[filed["known_on"] >= cut - timedelta(60)]
    for row in recent.sort_values(["known_on", "amendment"]).to_dict("records"):
        key: tuple[object, ...] = (row["symbol"], row["insider"], row["event_date"], row["code"], row["line"])
        if row["amendment"] and key in told:
            told[key] = told[key][0], row
        else:
            told[key if key not in told else (*key, row["accession"])] = row["known_on"], row
    nets: dict[str, Fraction] = {}
    for disclosed, row in told.values():
        if disclosed >= cut - timedelta(30) and row["role"] == "officer" and row["code"] in "PS":
            dollars = Fraction(0) if np.isnan(row["price"]) else Fraction(row["shares"]) * Fraction(row["price"])
            symbol = renamed.get(row["symbol"], row["symbol"])
            nets[symbol] = nets.get(symbol, Fraction(0)) + (dollars if row["code"] == "P" else -dollars)
    listed = _listed(tables["universe"], day)
    best = sorted((s for s in nets if nets[s] > 0 and s in listed), key=lambda s: (-nets[s], s))[:25]
    return {symbol: 1 / len(best) for symbol in best}


def test_it_agrees_with_a_plain_loop_on_a_hundred_days():
    worlds.agree(insider_buying_pulse, oracle, worlds.some_days(100), decided=100)


def test_on_those_days_amendments_do_matter():
    filed = worlds.tables()["insider_buying"]
    told = {**worlds.tables(), "insider_buying": filed.assign(amendment=False)}
    counted_twice = [oracle(told, day) != oracle(worlds.tables(), day) for day in worlds.some_days(40)]
    assert sum(counted_twice) >= 4


NAMES = ("AAPL", "BA", "LMT", "RTX", "XOM")
ROWS = st.lists(
    st.builds(
        lambda symbol, day, number, **said: line(
            symbol, str(day), line=number, direction="sell" if said["code"] == "S" else "buy", **said
        ),
        st.sampled_from([*NAMES, "BA", "BA", "GONE", "A B", None]),
        st.dates(date(2024, 5, 1), date(2024, 7, 3)),
        st.integers(1, 3),
        accession=st.integers(1, 12).map(lambda n: f"X{n}"),
        insider=st.sampled_from(["Doe Jane", "Roe Richard"]),
        code=st.sampled_from(["P", "P", "P", "S", "A"]),
        role=st.sampled_from(["officer", "officer", "director"]),
        shares=st.sampled_from([50.0, 100.0, 150.0]),
        price=st.sampled_from([10.0, 12.5, float("nan")]),
        amendment=st.booleans(),
    ),
    max_size=30,
    unique_by=lambda row: (row["accession"], row["line"], row["known_on"]),
)


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED) -> dict[str, float] | None:
    try:
        return decide(insider_buying_pulse.with_parameters({"top_n": 3}), DAY, insider_buying=rows, universe=listed)
    except NotEnoughData:
        return None


def by_hand(rows: list[Row]) -> dict[str, float] | None:
    """The rule one row at a time, with everything compared to everything."""
    seen = sorted((row for row in rows if "2024-05-02" <= row["known_on"] < DAY), key=lambda row: row["known_on"])
    if not [row for row in seen if row["known_on"] >= "2024-06-01"]:
        return None
    first = {(row["accession"], row["line"]): row["known_on"] for row in reversed(seen)}
    last = {(row["accession"], row["line"]): row for row in seen}
    filed = [row | {"first": first[key]} for key, row in last.items()]
    filed.sort(key=lambda row: (row["known_on"], row["amendment"], row["accession"], row["line"]))
    stands: list[Row] = []
    for row in filed:
        matches = []
        for place, one in enumerate(stands):
            same = all(one[name] == row[name] for name in ("symbol", "insider", "event_date"))
            amounts = [one[name] == row[name] for name in ("shares", "price")]
            likeness = sum(amounts) + (one["code"] == row["code"]) + (one["line"] == row["line"])
            if row["amendment"] and same and one["accession"] != row["accession"] and likeness >= 2:
                matches.append((-likeness, -sum(amounts), place))
        if matches:
            row = row | {"first": stands.pop(min(matches)[2])["first"]}
        stands.append(row)
    nets = dict.fromkeys(NAMES, 0.0)
    for row in stands:
        priced = row["price"] == row["price"]
        if row["symbol"] in nets and row["role"] == "officer" and row["first"] >= "2024-06-01" and priced:
            nets[row["symbol"]] += {"P": 1, "S": -1}.get(row["code"], 0) * row["shares"] * row["price"]
    best = sorted((symbol for symbol in NAMES if nets[symbol] > 0), key=lambda symbol: (-nets[symbol], symbol))[:3]
    return {symbol: 1 / len(best) for symbol in sorted(best)}


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_it_is_the_rule_one_row_at_a_time(rows: list[Row]):
    assert held(table(rows)) == by_hand(rows)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_neither_order_nor_repetition_of_rows_nor_the_currency_matters(rows: list[Row], seed: int):
    known = table(rows)
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, max(len(known), 1), 5 if len(known) else 0)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(price=known["price"] * 8)) == weights
    assert weights is None or set(weights) <= set(NAMES)


@settings(max_examples=20, deadline=None)
@given(ROWS)
def test_other_names_in_the_same_order_get_the_same_weights(rows: list[Row]):
    other = dict(zip(NAMES, ("B", "C.A", "D", "DD", "Z"), strict=True))
    named = table([row | {"symbol": other.get(row["symbol"], row["symbol"])} for row in rows])
    weights = held(table(rows))
    expected = None if weights is None else {other[symbol]: weight for symbol, weight in weights.items()}
    assert held(named, universe(*other.values())) == expected
