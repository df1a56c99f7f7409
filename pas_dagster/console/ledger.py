"""`pas ledger`: prove the books, and give the trade log to other programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from pas_dagster import postgres
from pas_dagster.errors import PasError
from pas_dagster.ledger import tables
from pas_dagster.ledger.export import Format, lines, replacing, trades, write
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.verify import Check
from pas_dagster.ledger.verify import verify as proofs
from pas_dagster.settings import Settings, read_home


def verify(chosen: Settings, as_json: bool) -> bool:
    """Print one line for each check, and the first differences of those that fail; whether there were none."""
    _require_home(chosen)
    with postgres.running(chosen) as url, closing(Ledger(url)) as ledger:
        found = proofs(ledger)
    if as_json:
        print(json.dumps([one._asdict() for one in found]))
    else:
        for one in found:
            print(_line(one))
    return not any(one.count for one in found)


def _line(check: Check) -> str:
    if not check.count:
        return f"ok     {check.name} ({check.seen})"
    more = f"\n       and {check.count - len(check.differences):,} more" if check.count > len(check.differences) else ""
    told = "".join(f"\n       {sentence}" for sentence in check.differences)
    return f"WRONG  {check.name} ({check.seen}): {check.count:,} differences{told}{more}"


def export(chosen: Settings, how: Format, out: Path | None, account: str | None) -> None:
    """Write the trade log of an account to a file, or to the terminal."""
    _require_home(chosen)
    with postgres.running(chosen) as url, closing(Ledger(url)) as ledger:
        rows = lines(trades(ledger, *_account(ledger, account)), how)
        if out is None:
            _print(rows)
            return
        with replacing(out) as stream:
            count = write(rows, stream) - (how == "csv")
    Console(highlight=False, markup=False, soft_wrap=True).print(f"{count:,} trades are in {out}.")


def _print(rows: Iterator[str]) -> None:
    try:
        write(rows, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; nothing more may be written when the process ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _account(ledger: Ledger, name: str | None) -> tuple[str, int]:
    """The account that is meant, the only one if none is named, and its present generation."""
    table = tables.account
    rows = ledger.run(lambda c: c.execute(sa.select(table.c.id, table.c.generation).order_by(table.c.id)).all())
    known = {row.id: row.generation for row in rows}
    if not known:
        raise PasError("No account has traded in this home yet.")
    if name is None and len(known) > 1:
        raise PasError(f"There are several accounts ({', '.join(known)}); name one with --account.")
    chosen = next(iter(known)) if name is None else name
    if chosen not in known:
        raise PasError(f"There is no account {chosen!r}; there is {', '.join(known)}.")
    return chosen, known[chosen]


def _require_home(chosen: Settings) -> None:
    if not read_home(chosen.home):
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
