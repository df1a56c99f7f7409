"""Ten years of all strategies over 1,500 symbols in one `pas backtest`: `python -m benchmarks.strategies`.

The facts of a made-up market (benchmarks/market.py) are put into the lake of a temporary home, which is not timed.
Timed is the whole command, from start to end, with the memory of all its processes; it prints where their time went.
With `--slopes` also shorter and smaller ones: how the time grows with dates and with symbols.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.market import Market
from benchmarks.memory import Peak
from pas_dagster import calendar, postgres, settings

LAST = date(2025, 12, 31)
LOOK_BACK = timedelta(days=1130)  # three years and some: the longest look-back of a strategy
PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Measured:
    """One run: seconds of the whole command, most memory of all its processes in GB, and what it said of itself."""

    seconds: float
    gigabytes: float
    said: dict


def fill(home: Path, market: Market) -> None:
    """Make a home whose lake holds the market's facts. The plain copies are left out: a backtest does not read them."""
    from pas_dagster.lake import Lake, mirror
    from pas_dagster.schemas import TABLES

    chosen = settings.load(home=home, world="real", start=market.first)
    settings.make_home(chosen)
    with postgres.running(chosen) as url, Lake(url, chosen.lake_dir) as lake, patch.object(mirror, "copy"):
        for name, rows in market.tables():
            days = calendar.days(market.first, market.last)
            lake.replace(TABLES[name], days, rows)
            print(f"  {name}: {len(rows):,} rows", flush=True)


@contextmanager
def filled(market: Market):
    with tempfile.TemporaryDirectory(prefix="pas-") as folder:
        home = Path(folder) / "home"
        fill(home, market)
        yield home


def run(home: Path, market: Market, years: float) -> Measured:
    """The command on the last `years` of the market."""
    first = market.last - timedelta(days=round(365.25 * years))
    command = [
        Path(sys.executable).with_name("pas"),
        "backtest",
        "--from",
        str(first),
        "--to",
        str(market.last),
        "--json",
    ]
    variables = {**os.environ, "PAS_HOME": str(home), "PAS_WORLD": "real", "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=PROJECT, env=variables, stdout=subprocess.PIPE, text=True)
    with Peak(process.pid) as peak:
        output, _ = process.communicate()
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"pas backtest ended with status {process.returncode}")
    return Measured(seconds, peak.bytes / 2**30, json.loads(output))


def _told(measured: Measured, what: str) -> None:
    print(f"{what}: {measured.seconds:.1f} s, all processes together {measured.gigabytes:.2f} GB at most")
    profile = sorted(measured.said["seconds"].items(), key=lambda item: -item[1])
    for name, seconds in profile:
        print(f"    {name:28} {seconds:6.2f} s")
    work = sum(measured.said["seconds"].values())
    print(f"    {'all of it, over the processors':28} {work:6.2f} s")


def _slope(points: list[tuple[float, float]], unit: str) -> None:
    x, y = (np.array(side) for side in zip(*points, strict=True))
    slope, offset = np.polyfit(x, y, 1)
    exponent = np.polyfit(np.log(x), np.log(np.maximum(y - offset, 1e-3)), 1)[0] if offset > 0 else float("nan")
    pairs = ", ".join(f"{a:g} {unit}: {b:.1f} s" for a, b in points)
    print(f"{pairs}; {slope:.3g} s for each of {unit}, {offset:.1f} s fixed, exponent of the rest {exponent:.2f}")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(prog="benchmarks.strategies", description="All strategies over ten years.")
    parser.add_argument("--years", type=float, default=10)
    parser.add_argument("--symbols", type=int, default=1500)
    parser.add_argument("--slopes", action="store_true", help="also 2.5 and 5 years, and 375 and 750 symbols")
    flags = parser.parse_args()
    first = LAST - timedelta(days=round(365.25 * flags.years)) - LOOK_BACK
    market = Market(flags.symbols, first, LAST)
    shares = (0.25, 0.5) if flags.slopes else ()
    by_symbols: list[tuple[float, float]] = []
    with filled(market) as home:
        by_years = [(share * flags.years, run(home, market, share * flags.years).seconds) for share in shares]
        whole = run(home, market, flags.years)
    _told(whole, f"{flags.years:g} years of all strategies over {flags.symbols:,} symbols")
    for share in shares:
        smaller = Market(int(share * flags.symbols), first, LAST)
        with filled(smaller) as home:
            by_symbols.append((smaller.symbols, run(home, smaller, flags.years).seconds))
    if flags.slopes:
        _slope([*by_years, (flags.years, whole.seconds)], "years")
        _slope([*by_symbols, (flags.symbols, whole.seconds)], "symbols")


if __name__ == "__main__":
    main()
