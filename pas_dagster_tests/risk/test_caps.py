"""Caps: never above, never more of anything, once is enough, and every cut is explained."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.risk.caps import Caps, Cut, apply_caps

SECTORS = {"A": "Energy", "B": "Energy", "C": "Utilities", "D": "Utilities"}
ROW = st.tuples(st.sampled_from("xyz"), st.sampled_from("ABCDEF"), st.floats(-0.6, 0.6).filter(lambda w: abs(w) > 1e-6))
TARGETS = st.lists(ROW, max_size=14, unique_by=lambda row: row[:2])
LIMIT = st.none() | st.floats(0.0, 1.2)
CAPS = st.builds(
    Caps,
    gross=LIMIT,
    name=LIMIT,
    sector=LIMIT,
    names=st.dictionaries(st.sampled_from("AE"), st.floats(0.0, 0.5)),
    sectors=st.dictionaries(st.sampled_from(["Energy", "unknown"]), st.floats(0.0, 0.5)),
)


def frame(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sleeve", "symbol", "weight"]).astype({"weight": float})


def plain_caps(rows, caps: Caps) -> tuple[dict[tuple[str, str], float], list[tuple[str, str, float, float]]]:
    """The caps one row and one group at a time."""
    weights = {(sleeve, symbol): weight for sleeve, symbol, weight in rows}
    cuts = []

    def net() -> dict[str, float]:
        sums: dict[str, float] = {}
        for (_, symbol), weight in weights.items():
            sums[symbol] = sums.get(symbol, 0.0) + weight
        return sums

    def cut(what: str, name: str, members: list[str], cap: float | None) -> None:
        size = sum(abs(weight) for symbol, weight in net().items() if symbol in members)
        if cap is None or size <= cap:
            return
        cancelled = {symbol for symbol, weight in net().items() if weight == 0.0}
        for key in weights:
            if key[1] in members and key[1] not in cancelled:
                weights[key] *= cap / size
        cuts.append((what, name, size, cap))

    for symbol in sorted(net()):
        cut("name", symbol, [symbol], caps.names.get(symbol, caps.name))
    sectors = {symbol: SECTORS.get(symbol, "unknown") for symbol in net()}
    for sector in sorted(set(sectors.values())):
        cut("sector", sector, [s for s in sectors if sectors[s] == sector], caps.sectors.get(sector, caps.sector))
    cut("gross", "account", list(sectors), caps.gross)
    return weights, cuts


@settings(max_examples=150, deadline=None)
@given(TARGETS, CAPS)
def test_caps_are_those_of_a_plain_loop(rows, caps: Caps) -> None:
    capped = apply_caps(frame(rows), caps, SECTORS)
    weights, cuts = plain_caps(rows, caps)
    np.testing.assert_allclose(capped.target["weight"], list(weights.values()), atol=1e-9)
    # A size that is its cap up to rounding may be cut by rounding.
    real = [cut for cut in capped.cuts if cut.before - cut.after > 1e-9]
    plain = [cut for cut in cuts if cut[2] - cut[3] > 1e-9]
    assert [(cut.what, cut.name) for cut in real] == [cut[:2] for cut in plain]


@settings(max_examples=150, deadline=None)
@given(TARGETS, CAPS)
def test_after_the_caps_nothing_is_above_and_nothing_has_grown(rows, caps: Caps) -> None:
    before = frame(rows)
    after = apply_caps(before, caps, SECTORS).target
    assert (after["weight"].abs() <= before["weight"].abs()).all()
    assert (after["weight"] * before["weight"] >= 0.0).all()  # and nothing has changed sides
    net = after.groupby("symbol")["weight"].sum()
    for symbol, weight in net.items():
        cap = caps.names.get(symbol, caps.name)
        assert cap is None or abs(weight) <= cap + 1e-15
    sizes = net.abs().groupby([SECTORS.get(symbol, "unknown") for symbol in net.index]).sum()
    for sector, size in sizes.items():
        cap = caps.sectors.get(sector, caps.sector)
        assert cap is None or size <= cap + 1e-15
    assert caps.gross is None or net.abs().sum() <= caps.gross + 1e-15


@settings(max_examples=100, deadline=None)
@given(TARGETS, CAPS)
def test_once_is_enough(rows, caps: Caps) -> None:
    once = apply_caps(frame(rows), caps, SECTORS)
    twice = apply_caps(once.target, caps, SECTORS)
    assert twice.cuts == () and twice.freed == 0.0
    pd.testing.assert_frame_equal(twice.target, once.target)


@settings(max_examples=100, deadline=None)
@given(TARGETS, CAPS)
def test_the_cuts_explain_the_whole_difference(rows, caps: Caps) -> None:
    before = frame(rows)
    capped = apply_caps(before, caps, SECTORS)
    gross = [table.groupby("symbol")["weight"].sum().abs().sum() for table in (before, capped.target)]
    assert math.fsum(cut.before - cut.after for cut in capped.cuts) == pytest.approx(gross[0] - gross[1], abs=1e-12)
    assert capped.freed == pytest.approx(gross[0] - gross[1], abs=1e-12)
    assert all(cut.after < cut.before and cut.name and cut.rule for cut in capped.cuts)
    assert bool(capped.cuts) == (capped.freed > 0.0)


def test_a_cap_on_a_name_cuts_all_sleeves_in_proportion_and_leaves_the_rest_in_cash() -> None:
    capped = apply_caps(frame([("x", "A", 0.12), ("y", "A", 0.04), ("y", "B", 0.05)]), Caps(name=0.08), SECTORS)
    assert capped.target["weight"].tolist() == pytest.approx([0.06, 0.02, 0.05])
    assert capped.target["weight"].sum() == pytest.approx(0.13)  # not handed to B
    assert capped.cuts == (
        Cut(
            "name",
            "A",
            pytest.approx(0.16),
            pytest.approx(0.08),
            "A would be 16.00 % of the account; a name may be at most 8.00 %; every sleeve that holds it keeps 50.0 %",
        ),
    )


def test_a_hair_above_a_cap_is_above_it_and_the_cap_itself_is_not() -> None:
    for weight, cuts in ((0.1000001, 1), (0.1, 0)):
        rows = frame([("x", "A", weight)])
        for caps in (Caps(name=0.1), Caps(sector=0.1), Caps(gross=0.1)):
            assert len(apply_caps(rows, caps, SECTORS).cuts) == cuts


def test_names_then_sectors_then_gross() -> None:
    rows = [("x", "A", 0.40), ("x", "B", 0.20), ("x", "C", 0.20)]
    capped = apply_caps(frame(rows), Caps(gross=0.45, name=0.30, sector=0.40), SECTORS)
    assert [(cut.what, cut.name) for cut in capped.cuts] == [("name", "A"), ("sector", "Energy"), ("gross", "account")]
    assert capped.target["weight"].tolist() == pytest.approx([0.24 * 0.75, 0.16 * 0.75, 0.20 * 0.75])


def test_unknown_sectors_are_capped_together_unless_they_have_a_cap_of_their_own() -> None:
    rows = [("x", "E", 0.3), ("x", "F", 0.3)]
    assert apply_caps(frame(rows), Caps(sector=0.3), SECTORS).target["weight"].tolist() == pytest.approx([0.15, 0.15])
    assert apply_caps(frame(rows), Caps(sector=0.3, sectors={"unknown": 1.0}), SECTORS).cuts == ()
    assert apply_caps(frame(rows), Caps(sector=0.3), {"E": "broad", "F": "bonds"}).cuts == ()


def test_a_name_that_cancels_between_sleeves_has_nothing_to_cut() -> None:
    capped = apply_caps(frame([("x", "A", 0.3), ("y", "A", -0.3)]), Caps(name=0.1, gross=0.0), SECTORS)
    assert capped.target["weight"].tolist() == [0.3, -0.3]


def test_the_target_handed_in_is_not_changed_and_its_other_columns_stay() -> None:
    target = frame([("x", "A", 0.3)]).assign(note="kept")
    target.index = pd.Index([7])
    copy = target.copy()
    capped = apply_caps(target, Caps(name=0.1), SECTORS)
    pd.testing.assert_frame_equal(target, copy)
    assert capped.target.index.tolist() == [7] and capped.target["note"].tolist() == ["kept"]


def test_what_is_no_cap_and_no_weight_is_named() -> None:
    for bad in (-0.1, math.nan, math.inf, True, "1"):
        with pytest.raises(ValueError, match="a cap on gross must be a fraction of at least 0"):
            Caps(gross=bad)
        with pytest.raises(ValueError, match="a cap on SPY"):
            Caps(names={"SPY": bad})
    with pytest.raises(ValueError, match="the weight of A in x is nan"):
        apply_caps(frame([("x", "A", math.nan)]), Caps(), {})
    assert apply_caps(frame([]), Caps(gross=0.5, name=0.1, sector=0.1), {}).cuts == ()
