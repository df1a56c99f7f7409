"""The allocation log told in sentences, made of nothing but its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from pas_dagster.allocation.log import LogRow

Rows = Sequence[LogRow]


def retell(rows: Sequence[LogRow]) -> str:
    """What an allocation did and why, one paragraph per step, in the order of the decision; shares in percent.

    Args:
        rows: of one decision and one scheme, in order, as `Allocation.log_rows` gives them; a row of the step `status`
            may come first. A step that is not known here is told by its numbers, so that nothing is left out.

    >>> rows: list[LogRow] = [
    ...     {"step": "eligibility", "sleeve": "a", "value": 12.0, "note": "eligible"},
    ...     {"step": "eligibility", "sleeve": "b", "value": 5.0, "note": "only 5 of 12 weeks"},
    ...     {"step": "weight", "sleeve": "a", "value": 0.4, "note": "optimal"},
    ...     {"step": "cash_weight", "sleeve": None, "value": 0.6, "note": "optimal"},
    ... ]
    >>> print(retell(rows))
    1 sleeve took part: a. Left out: b (only 5 of 12 weeks).
    The account holds: a 40.0 %.
    Cash: 60.0 %.
    """
    kept = [row for row in rows if row["step"] != "volatility" or row["sleeve"] is None]
    risks = {row["sleeve"]: row["value"] for row in rows if row["step"] == "volatility" and row["sleeve"] is not None}
    told: list[str] = []
    for step, group in groupby(kept, key=lambda row: row["step"]):
        part = list(group)
        told.append(_means(part, risks) if step == "mean" else _TOLD.get(step, _anything)(part))
    return "\n".join(sentence for sentence in told if sentence)


def percent(value: float | None) -> str:
    """A share or rate in percent.

    >>> percent(0.1234), percent(None)
    ('12.3 %', 'not known')
    """
    return "not known" if value is None else f"{100.0 * value:.1f} %"


def _shares(rows: Rows) -> str:
    """Name and percent of the rows that are not zero, largest first."""
    some = sorted((row for row in rows if row["value"]), key=lambda row: -(row["value"] or 0.0))
    return ", ".join(f"{row['sleeve']} {percent(row['value'])}" for row in some)


def _status(rows: Rows) -> str:
    return f"Decision: {rows[0]['note']}."


def _previous(rows: Rows) -> str:
    whole = [row for row in rows if row["sleeve"] is None]
    if whole:
        return f"Weights before: {whole[0]['note']}."
    gone = [f"{row['sleeve']} is {row['note']}" for row in rows if row["note"]]
    return f"Weights before: {_shares(rows)}." + (f" Of these, {', '.join(gone)}." if gone else "")


def _eligibility(rows: Rows) -> str:
    took = [str(row["sleeve"]) for row in rows if row["note"] == "eligible"]
    left = [f"{row['sleeve']} ({row['note']})" for row in rows if row["note"] != "eligible"]
    count = f"{len(took)} sleeve{'' if len(took) == 1 else 's'} took part"
    return count + (f": {', '.join(took)}." if took else ".") + (f" Left out: {', '.join(left)}." if left else "")


def _outlier(rows: Rows) -> str:
    return "Returns not believed: " + "; ".join(f"{row['sleeve']}, {row['note']}" for row in rows) + "."


def _outliers(rows: Rows) -> str:
    count = int(rows[0]["value"] or 0)
    note = rows[0]["note"].removeprefix("returns ")
    return f"{count if count else 'No'} weekly return{'' if count == 1 else 's'} {note}."


def _means(rows: Rows, risks: Mapping[str, float | None]) -> str:
    parts = [f"{row['sleeve']} {percent(row['value'])} ± {percent(risks.get(row['sleeve'] or ''))}" for row in rows]
    return "Return and volatility a year, as estimated: " + ", ".join(parts) + "."


def _shrinkage(rows: Rows) -> str:
    return f"The covariance was shrunk by {percent(rows[0]['value'])} ({rows[0]['note']})."


def _crisis(rows: Rows) -> str:
    return f"Probability of a crisis: {percent(rows[0]['value'])} ({rows[0]['note']})."


def _scheme(rows: Rows) -> str:
    name, _, outcome = rows[0]["note"].partition(": ")
    sharpe = rows[0]["value"]
    if sharpe is None:
        return f"The scheme {name} has no answer: {outcome}."
    return f"The scheme {name} has an answer; the Sharpe ratio of its mix is {sharpe:.2f} a year."


def _sentence(rows: Rows) -> str:
    return " ".join(f"{row['note'][:1].upper()}{row['note'][1:]}." for row in rows)


def _mix(rows: Rows) -> str:
    return f"Its mix: {_shares(rows)}."


def _constraint(rows: Rows) -> str:
    return "What binds it: " + ". ".join(row["note"] for row in rows) + "."


def _residual(rows: Rows) -> str:
    return f"The solution was checked: {rows[0]['note']} {rows[0]['value'] or 0.0:.0e}."


def _target(rows: Rows) -> str:
    return (
        f"Scaled to the volatility target, {percent(rows[0]['value'])} of the account is invested ({rows[0]['note']})."
    )


def _realism(rows: Rows) -> str:
    return f"Realism check: {rows[0]['note']}."


def _turnover(rows: Rows) -> str:
    return f"Turnover: {percent(rows[0]['value'])} of the account, {rows[0]['note']}."


def _band(rows: Rows) -> str:
    kept = [f"{row['sleeve']} stays at {percent(row['value'])} ({row['note']})" for row in rows if row["sleeve"]]
    return f"No-trade band: {int(rows[0]['value'] or 0)} {rows[0]['note']}." + (f" {'; '.join(kept)}." if kept else "")


def _held(rows: Rows) -> str:
    return f"The previous weights stand, {percent(rows[0]['value'])} of the account: {rows[0]['note']}."


def _no_answer(rows: Rows) -> str:
    return f"All is cash: {rows[0]['note']}."


def _weight(rows: Rows) -> str:
    shares = _shares(rows)
    return f"The account holds: {shares}." if shares else "The account holds no sleeve."


def _named(words: str) -> Callable[[Rows], str]:
    """A sentence of some words and the value in percent."""

    def told(rows: Rows) -> str:
        more = rows[0]["note"].removeprefix("annual, of the final weights").removeprefix(", ")
        more = "" if more in {"optimal", "held", "cash", "annual, of the mix"} else more
        return f"{words}: {percent(rows[0]['value'])}" + (f", {more}." if more else ".")

    return told


def _sharpe(rows: Rows) -> str:
    return "Expected Sharpe ratio: " + ("not known." if rows[0]["value"] is None else f"{rows[0]['value']:.2f} a year.")


def _anything(rows: Rows) -> str:
    parts = []
    for row in rows:
        number = "" if row["value"] is None else f"{row['value']:.6g}"
        parts.append(" ".join(part for part in (row["sleeve"] or "", number, row["note"] or "") if part))
    return f"{rows[0]['step'].replace('_', ' ').capitalize()}: {'; '.join(parts)}."


_TOLD: dict[str, Callable[[Rows], str]] = {
    "status": _status,
    "previous": _previous,
    "eligibility": _eligibility,
    "outlier": _outlier,
    "outliers": _outliers,
    "shrinkage": _shrinkage,
    "crisis": _crisis,
    "scheme": _scheme,
    "scheme_note": _sentence,
    "mix": _mix,
    "constraint": _constraint,
    "mix_return": _named("Expected return of the mix a year"),
    "mix_volatility": _named("Volatility of the mix a year"),
    "residual": _residual,
    "volatility_target": _target,
    "realism": _realism,
    "turnover_budget": _turnover,
    "no_trade_band": _band,
    "held": _held,
    "cash": _no_answer,
    "weight": _weight,
    "cash_weight": _named("Cash"),
    "expected_return": _named("Expected return a year"),
    "final_volatility": _named("Volatility a year"),
    "sharpe": _sharpe,
}
