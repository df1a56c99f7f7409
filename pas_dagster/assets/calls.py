"""Calls to trade a session to its targets although nothing new takes effect in it: a tag on a run of that session.

`pas/rebalance: weights` lets every sleeve go back to its weights, `pas/rebalance: all` resets the sleeves to their
shares of the account as well. Sensors call when holdings have drifted or weights come late; a person does it in the
UI's launchpad. The planner's bands hold all the same: what rests within them is not traded.

Dagster's runs are the record of who called for what. Later runs of the session see the call there and plan the same,
so the account's past can be computed anew with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from pas_dagster.errors import PasError

TAG = "pas/rebalance"
PARTITION = "dagster/partition"
WEIGHTS, ALL = "weights", "all"
WORDS = (WEIGHTS, ALL)


def calls(instance: DagsterInstance, own: Mapping[str, str]) -> dict[date, str]:
    """Session -> the widest call for it, of all runs that were not cancelled.

    `own`: tags of the run that asks. Raises `PasError` when its call is none of the words, or not for one session; such
    calls of other runs are passed over.
    """
    if own.get(TAG, ALL) not in WORDS:
        raise PasError(f"The tag {TAG} is {own[TAG]!r}; it is {WEIGHTS} or {ALL}.")
    if TAG in own and PARTITION not in own:
        raise PasError(f"The tag {TAG} calls for one session: run a single partition with it, not a range.")
    if not instance.get_run_tags(tag_keys=[TAG]):
        return {}
    found: dict[date, str] = {}
    for word in WORDS:  # the wider one last, so that it stays
        for run in instance.get_runs(RunsFilter(tags={TAG: word})):
            if run.status != DagsterRunStatus.CANCELED and PARTITION in run.tags:
                found[date.fromisoformat(run.tags[PARTITION])] = word
    return found
