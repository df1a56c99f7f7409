"""Proof (b): materialising any asset again, over any range, leaves the lake as it was and writes no snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pas_dagster_tests.lake.processes import clean_environment

SEED = 20240715
EXTRA = 4  # after each asset once
FILLED = [
    "prices",
    "universe",
    "strategy_weights",
    "strategy_returns",
    "allocation",
    "alloc_log",
    "portfolios",
    "order_batch",
    "trades",
    "account_metrics_paper",
    "metrics",
    "weight_history",
    "scheme_weights",
    "scheme_outcomes",
    "regimes",
    "exposures",
    "risk_metrics",
    "alerts",
]


def again(home: Path) -> dict[str, Any]:
    """Build a home and do parts of it again, in a process whose definitions are built from that home's settings."""
    command = [sys.executable, "-m", "pas_dagster_tests.assets.rematerialise", str(home), str(SEED), str(EXTRA)]
    done = subprocess.run(
        command,
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_any_asset_over_any_range_again_changes_nothing(tmp_path: Path) -> None:
    answer = again(tmp_path / "home")
    # Otherwise nothing would be compared with nothing.
    assert [name for name in FILLED if answer["before"][name][0] == "0"] == []
    assert {step["asset"] for step in answer["steps"]} == set(answer["assets"])
    assert all(step["count"] > 0 for step in answer["steps"])
    assert [step for step in answer["steps"] if step["snapshots"]] == []
    assert answer["after"] == answer["before"]
