"""Fingerprints of what a session's trades are computed from: equal fingerprints, equal trades."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date

from pas_dagster.execution.market import CorporateAction, Tape
from pas_dagster.execution.targets import Rules, Wanted


def plan_hash(
    rules: Rules,
    opened: date,
    wanted: Sequence[Wanted],
    symbols: Sequence[str],
    tape: Tape,
    session: date,
    days: Iterable[tuple[date, Sequence[CorporateAction]]],
) -> str:
    """Of all that is known before the open: rules, targets, reference prices and actions of the symbols concerned.

    `symbols`: sorted, those held at the open and those wanted. `days`: sessions since the decision before, with
    their actions. Prices and actions of other symbols may change freely.
    """
    ours = set(symbols)
    digest = hashlib.sha256(repr((rules, opened, session)).encode())
    goals = [(one.sleeve, one.share, sorted(one.weights.items()), one.scale) for one in wanted]
    digest.update(repr(goals).encode())
    digest.update(repr(list(map(tape.reference(session).__getitem__, symbols))).encode())
    digest.update(repr(list(symbols)).encode())
    for day, actions in days:
        for one in actions:
            if one.symbol in ours:
                digest.update(repr((day, one.kind, one.symbol, one.exact(), one.new_symbol)).encode())
    return digest.hexdigest()[:32]


def fill_hash(symbols: Sequence[str], tape: Tape, session: date) -> str:
    """Of what is known after the close: the closes of the symbols concerned."""
    return hashlib.sha256(repr(list(map(tape.closes(session).__getitem__, symbols))).encode()).hexdigest()[:32]
