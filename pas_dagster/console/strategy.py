"""`pas strategy`: list, show, write and document strategies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markdown import Markdown

from pas_dagster import settings
from pas_dagster.console.table import cell, show
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings

NEW = '''"""{title}: a strategy of your own."""

from __future__ import annotations

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

SYMBOLS = ("SPY", "QQQ", "BND")


@strategy(
    name="{name}",
    title="{title}",
    cadence=Cadence.WEEKLY_MON,
    reads={{"prices": Window(sessions=120, symbols=SYMBOLS)}},
)
def {name}(data: AsOf, *, sessions: Count = 60) -> Weights:
    """Hold the fund that has risen most, if any has.

    Rule: compare the total returns of SPY, QQQ and BND over the last `sessions` sessions; hold the largest if it is
    positive, otherwise cash. Ties go by symbol. Fewer sessions known: cannot decide.

    Source: daily total returns of the funds.

    Parameters: sessions, how far back to look, at most 120.
    """
    returns = data.returns(sessions, list(SYMBOLS))
    if len(returns) < sessions:
        raise NotEnoughData(f"{{len(returns)}} of {{sessions}} sessions are known")
    gains = (1 + returns.dropna(axis="columns")).prod() - 1
    rising = gains[gains > 0].sort_index()
    return Weights.equal([str(rising.idxmax())] if len(rising) else [])
'''

TEST = '''"""What {name} promises. Run with: pytest {file}"""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pas_dagster import calendar
from pas_dagster.strategies.audit import audit
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.history import History
from pas_dagster.strategies.own import load

(STRATEGY,) = load(Path(__file__).with_name("{name}.py"))
DAY = date(2024, 7, 1)


def history(**daily: float) -> History:
    """Prices of 120 sessions that rise by the same return every day."""
    days = calendar.session_array(date(2024, 1, 2), date(2024, 12, 31))[:180].astype("datetime64[us]")
    bars = {{"known_on": days, "close": 100.0, "volume": 1e6}}
    frames = [pd.DataFrame({{**bars, "symbol": name, "total_return": rate}}) for name, rate in daily.items()]
    return History({{"prices": pd.concat(frames).sort_values(["known_on", "symbol"], ignore_index=True)}})


def test_the_strongest_fund_is_held():
    weights = STRATEGY.decide(history(SPY=0.001, QQQ=0.002, BND=0.0).as_of(DAY, STRATEGY.reads))
    assert weights.values == {{"QQQ": 1.0}}


def test_cash_is_held_when_nothing_rises():
    weights = STRATEGY.decide(history(SPY=-0.001, QQQ=-0.002, BND=-0.001).as_of(DAY, STRATEGY.reads))
    assert weights.values == {{}} and weights.cash == 1.0


def test_too_little_history_decides_nothing():
    with pytest.raises(NotEnoughData):
        STRATEGY.decide(history(SPY=0.001).as_of(date(2024, 2, 1), STRATEGY.reads))


def test_it_does_not_look_ahead():
    assert audit(STRATEGY, history(SPY=0.001, QQQ=0.002, BND=0.0), [DAY]) == []
'''


def new(chosen: Settings, name: str) -> None:
    """Write a working strategy and its test."""
    from pas_dagster.assets.strategies import strategies
    from pas_dagster.strategies.contract import NAME

    settings.choose(chosen)
    if not NAME.fullmatch(name):
        raise PasError(f"{name!r} cannot be a strategy's name: use lower-case letters, digits and _, a letter first.")
    if name in strategies():
        raise PasError(f"There is a strategy {name!r} already; choose another name.")
    folder = chosen.strategies_dir
    path, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for file in (path, test):
        if file.exists():
            raise PasError(f"{file} exists already; nothing was written.")
    folder.mkdir(parents=True, exist_ok=True)
    words = {"name": name, "title": name.replace("_", " ").capitalize(), "file": test.name}
    path.write_text(NEW.format(**words))
    test.write_text(TEST.format(**words))
    console = Console()
    console.print(f"Wrote {path} and {test}. It runs as it is; now make it yours:", highlight=False, soft_wrap=True)
    for line in (f"pytest {test}", f"pas audit lookahead {name}", f"pas backtest {name}"):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print("Dagster shows it after a reload of the code location (or at the next start).")


def listed(chosen: Settings) -> pd.DataFrame:
    """Every strategy: name, when it decides, what it holds, where it comes from."""
    from pas_dagster.assets.strategies import strategies
    from pas_dagster.strategies.docs import WHEN
    from pas_dagster.strategies.own import PACKAGE, Broken

    settings.choose(chosen)
    rows = []
    for name, one in strategies().items():
        own = one.function.__module__.startswith(PACKAGE) or isinstance(one, Broken)
        origin = "cannot be loaded" if isinstance(one, Broken) else "own" if own else "built in"
        first = one.rule.partition("\n")[0]
        rows.append({"strategy": name, "decides": WHEN[one.cadence], "origin": origin, "rule": first})
    return pd.DataFrame(rows)


def one_page(chosen: Settings, name: str) -> None:
    """Print a strategy's page, with its last weights and backtest figures if there are any."""
    console = Console()
    for found, text in _pages(chosen, [name]):
        assert found == name
        console.print(Markdown(text.removesuffix("\n").rpartition("\n")[0]))


def write_pages(chosen: Settings, folder: Path) -> None:
    """Write every strategy's page, and a list of them."""
    from pas_dagster.assets.strategies import strategies
    from pas_dagster.strategies.docs import index

    settings.choose(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    pages = dict(_pages(chosen, list(strategies())))
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    (folder / "README.md").write_text(index(strategies()))
    Console().print(f"Wrote {len(pages)} pages into {folder}.", highlight=False, soft_wrap=True)


def _pages(chosen: Settings, names: list[str]) -> Iterator[tuple[str, str]]:
    from pas_dagster.assets.strategies import strategies
    from pas_dagster.automation.session import working
    from pas_dagster.strategies.docs import page

    settings.choose(chosen)
    known = strategies()
    for name in names:
        if name not in known:
            raise PasError(f"There is no strategy {name!r}. `pas strategy list` names them.")
    if not settings.read_home(chosen.home):
        yield from ((name, page(known[name])) for name in names)
        return
    with working(chosen):
        from pas_dagster.assets.resources import Workshop

        lake = Workshop().lake
        yield from ((name, page(known[name], _living(lake, chosen, name))) for name in names)


def _living(lake: Any, chosen: Settings, name: str) -> list[str]:
    """Sections about this home's data: the last weights and the last backtest, as far as there are any."""
    from pas_dagster.console.backtest import last_figures
    from pas_dagster.strategies.contract import CASH

    world = "the sandbox, a simulation" if chosen.world == "sandbox" else "this home"
    newest = "select max(decision) from lake.strategy_weights where strategy = ?"
    columns = "decision, status, symbol, round(100 * weight, 2) as percent, note"
    query = f"select {columns} from lake.strategy_weights where strategy = ? and decision = ({newest})"
    rows = lake.query(f"{query} order by symbol = '{CASH}', weight desc, symbol", [name, name])
    parts = []
    if len(rows):
        first = rows.iloc[0]
        parts += [f"## Last weights, of {world}", f"{first['decision']:%Y-%m-%d}, {first['status']}."]
        parts += [_markdown(rows[["symbol", "percent"]])]
    figures = last_figures(lake, name)
    if figures is not None:
        parts += [f"## Last backtest, of {world}", _markdown(figures)]
    return parts


def _markdown(rows: pd.DataFrame) -> str:
    head = ["| " + " | ".join(map(str, rows.columns)) + " |", "|" + "---|" * len(rows.columns)]
    return "\n".join([*head, *("| " + " | ".join(map(cell, row)) + " |" for row in rows.itertuples(index=False))])


def print_list(chosen: Settings, as_json: bool) -> None:
    frame = listed(chosen)
    print(frame.to_json(orient="records")) if as_json else show(frame)
