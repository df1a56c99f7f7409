"""Small-cap momentum: small companies ahead of a dated event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import SYMBOL, Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

MEMORY = 24  # monthly decisions before this one from which the book is rebuilt
SESSIONS = 570  # of prices: those decisions and the month before the first of them
HELD = 3  # months at most
MONTH = 31  # days, in which a company must have traded before it is entered
ROUNDING = 1e-9  # a rise that falls short by less has been reached


@strategy(
    name="small_cap_momentum",
    title="Small-Cap Momentum (Biotech Binary Events)",
    cadence=Cadence.MONTHLY,
    reads={
        "catalyst_events": Window(columns=("event_id", "kind", "symbol", "expected_on")),
        "prices": Window(sessions=SESSIONS),
        "universe": Window(),
    },
)
def small_cap_momentum(
    data: AsOf,
    *,
    max_names: Count = 20,
    days_ahead: Annotated[int, Field(ge=1, le=92)] = 90,
    take_profit: Annotated[float, Field(gt=0, le=100)] = 0.5,
    indexes: tuple[str, ...] = ("S&P 600", "Russell 2000"),
) -> Weights:
    """Small caps ahead of a known catalyst, until it happens, they have risen by half, or three months have passed.

    Rule: the book is a set of positions, each in one company for one event (event_id and kind). It is rebuilt from
    nothing at every decision, by walking the decisions of the first of each of the 24 months before and then this
    one; at each only what was known before it counts. At a decision, a position

    - is left when the event's day, as known then, is not after the decision; when it is named for another company;
      when a daily close since its entry was `take_profit` or more above the entry's (total return; a fall back
      afterwards does not matter); or when three calendar months have passed since its entry;
    - is entered, at the first decision at which the event's day, as known then, is 1 to `days_ahead` days away, for
      a company that is a stock in one of `indexes` then (leaving the index later does not end it) and has had a
      return in the month before. An event that was left for a rise or after three months is not entered again while
      the walk remembers it; one whose day passed and was then postponed may be. If its day passed in the month of
      the rise, the rise counts.

    Days are re-dated: the newest row of an event counts. Weights change at decisions only, so that exits are carried
    out at the next one; weights trade at the close of the first session on or after a decision, from which the return
    is measured; a session without a bar moves nothing. Held in equal weight are the companies with an open position
    that are listed; if more than `max_names` qualify, those with the nearest event, ties by symbol. The others stay
    in the book unheld: their positions age and end all the same, and are held once there is room. None: cash. No
    event or no price known, or no member of any of `indexes`: cannot decide.

    Source: trials (ClinicalTrials.gov) and approvals (openFDA) with their expected days; on returns ahead of
    scheduled news Barber, De George, Lehavy and Trueman (2013); daily total returns.

    Parameters: max_names, the most names held; days_ahead, how near an event must be; take_profit, the rise that
    ends a position; indexes, names of the indexes whose members are small caps.
    """
    known = data.table("catalyst_events")
    if known.empty:
        raise NotEnoughData("no catalyst event is known")
    returns = data.returns(SESSIONS)
    if returns.empty:
        raise NotEnoughData("no price is known")
    members = data.table("universe")
    members = members[members["index_name"].isin(indexes).to_numpy() & (members["kind"] == "stock").to_numpy()]
    if members.empty:
        raise NotEnoughData(f"no member of {' or '.join(indexes)} is known")
    decisions = _decisions(data.decision)
    symbols = pd.Index(np.sort(np.asarray(members["symbol"].unique(), object)))
    events, prices = _events(known, symbols, decisions), _prices(returns, symbols, decisions)
    entered, owner = _book(events, prices, _members(members, symbols, decisions), decisions, days_ahead, take_profit)
    still = entered >= 0
    nearest = np.lexsort((owner[still], events.expected[-1][still]))  # symbols are in order
    listed = set(data.universe.index)
    names = [
        name for name in dict.fromkeys(symbols[owner[still][nearest]]) if name in listed and SYMBOL.fullmatch(name)
    ]
    return Weights.equal(names[:max_names])


@dataclass(frozen=True)
class _Events:
    """Events (E,) as known at each decision (D,): the day expected, and the company's place or -1."""

    expected: np.ndarray
    company: np.ndarray


@dataclass(frozen=True)
class _Prices:
    """Companies (N,) at each decision (D,).

    Attributes:
        alive: whether there was a return in the month before.
        entry: growth at the close of the first session since the decision, 0 when that is not known yet.
        peak: the highest growth at a close since the decision before, 0 without one.
    """

    alive: np.ndarray
    entry: np.ndarray
    peak: np.ndarray


def _decisions(decision: date) -> np.ndarray:
    """The decision and those of the months before it, oldest first."""
    day = np.datetime64(decision, "D")
    month = day.astype("datetime64[M]")
    firsts = np.arange(month - MEMORY, month + 1).astype("datetime64[D]")
    return np.append(firsts[firsts < day][-MEMORY:], day)


def _states(known: np.ndarray, place: np.ndarray, decisions: np.ndarray, size: int) -> np.ndarray:
    """(D, size): which row spoke last about each place before each decision, -1 if none; rows are in order of time."""
    states, start = np.full((len(decisions) + 1, size), -1), 0
    for at, end in enumerate(np.searchsorted(known, decisions)):
        states[at + 1] = states[at]
        np.maximum.at(states[at + 1], place[start:end], np.arange(start, end))
        start = end
    return states[1:]


def _events(rows: pd.DataFrame, symbols: pd.Index, decisions: np.ndarray) -> _Events:
    """The events that some row names a company of `symbols` for."""
    names, spelt = pd.factorize(rows["symbol"])
    company = np.append(symbols.get_indexer(spelt.astype(object)), -1)[names]  # no symbol has the code -1
    kinds, _ = pd.factorize(rows["kind"])
    identifiers, _ = pd.factorize(rows["event_id"])
    event = identifiers * (int(kinds.max()) + 1) + kinds
    ours = np.isin(event, event[company >= 0])
    event, found = pd.factorize(event[ours])
    known, expected = (rows[name].to_numpy()[ours].astype("datetime64[D]") for name in ("known_on", "expected_on"))
    company = company[ours]
    order = np.lexsort((company, expected, known))
    last = _states(known[order], event[order], decisions, len(found))
    told = last >= 0
    return _Events(
        np.where(told, expected[order][last], np.datetime64("1970-01-01")), np.where(told, company[order][last], -1)
    )


def _members(rows: pd.DataFrame, symbols: pd.Index, decisions: np.ndarray) -> np.ndarray:
    """(D, N): whether each company is a member of one of the indexes, as known at each decision."""
    lists, names = pd.factorize(rows["index_name"])
    place = lists * len(symbols) + symbols.get_indexer(rows["symbol"].astype(object))
    known, joins = rows["known_on"].to_numpy(), (rows["action"] == "add").to_numpy()
    order = np.lexsort((joins, known))  # where a day tells both, it ends up in
    last = _states(known[order], place[order], decisions, len(names) * len(symbols))
    member = (last >= 0) & joins[order][last]
    return member.reshape(len(decisions), len(names), len(symbols)).any(axis=1)


def _prices(returns: pd.DataFrame, symbols: pd.Index, decisions: np.ndarray) -> _Prices:
    at = returns.columns.get_indexer(symbols)
    moves = np.where(at >= 0, returns.to_numpy()[:, at], np.nan)
    sessions = returns.index.to_numpy().astype("datetime64[D]")
    growth = np.cumprod(1.0 + np.where(np.isnan(moves), 0.0, moves), axis=0)
    alive, entry, peak = (np.zeros((len(decisions), len(symbols)), kind) for kind in (bool, float, float))
    month, end = (np.searchsorted(sessions, days).tolist() for days in (decisions - MONTH, decisions))
    for n in range(len(decisions)):
        alive[n] = ~np.isnan(moves[month[n] : end[n]]).all(axis=0)
        if n and end[n] > end[n - 1]:
            entry[n - 1], peak[n] = growth[end[n - 1]], growth[end[n - 1] : end[n]].max(axis=0)
    return _Prices(alive, entry, peak)


def _book(
    events: _Events, prices: _Prices, member: np.ndarray, decisions: np.ndarray, days_ahead: int, take_profit: float
) -> tuple[np.ndarray, np.ndarray]:
    """The book after the last decision: for each event the decision of its open position or -1, and the company."""
    count = events.expected.shape[1]
    entered, owner, spent = np.full(count, -1), np.full(count, -1), np.zeros(count, bool)
    months = decisions.astype("datetime64[M]").astype(int)
    for n, day in enumerate(decisions):
        expected, company = events.expected[n], events.company[n]
        held = entered >= 0
        goal = prices.entry[entered, owner] * (1 + take_profit) * (1 - ROUNDING)
        risen = held & (goal > 0) & (prices.peak[n][owner] >= goal)
        over = held & ((expected <= day) | (company != owner))
        late = held & (months[n] - months[entered] >= HELD)
        spent |= risen | (late & ~over)
        entered[risen | over | late] = -1
        eligible = (member[n] & prices.alive[n])[company] & (company >= 0)
        enters = (entered < 0) & ~spent & eligible & (expected > day) & (expected <= day + days_ahead)
        entered[enters], owner[enters] = n, company[enters]
    return entered, owner
