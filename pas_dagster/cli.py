"""`pas`: the command line. Heavy modules are imported by the commands that need them, never at start."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pas_dagster.errors import PasError

if TYPE_CHECKING:
    from pas_dagster.settings import Settings

app = typer.Typer(
    name="pas",
    help="Portfolio Allocation System: alternative-data strategies on one brokerage account, orchestrated by Dagster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
database = typer.Typer(help="The embedded Postgres.", no_args_is_help=True)
app.add_typer(database, name="db")
sandbox = typer.Typer(help="The simulated world's web sites.", no_args_is_help=True)
app.add_typer(sandbox, name="sandbox")
strategy = typer.Typer(help="Strategies: the built-in ones and your own.", no_args_is_help=True)
app.add_typer(strategy, name="strategy")
explain = typer.Typer(help="Why a decision came out as it did.", no_args_is_help=True)
app.add_typer(explain, name="explain")
audit = typer.Typer(help="Proofs that can be run again.", no_args_is_help=True)
app.add_typer(audit, name="audit")
books = typer.Typer(help="The books: proofs and exports.", no_args_is_help=True)
app.add_typer(books, name="ledger")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Run a command; an error the user can mend is one sentence and exit code 1."""
    try:
        app()
    except PasError as error:
        print(f"pas: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("pas: interrupted; what was finished is stored, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)


@app.command()
def demo() -> None:
    """Build the sandbox world, backfill four years of it, trade today's batch, and show what happened."""
    from pas_dagster.console.demo import run

    run(_sandbox_settings())


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the Dagster UI on this machine.")] = 3000,
) -> None:
    """Open the Dagster UI on the data of this home, with its daemon. Ctrl-C ends both."""
    from pas_dagster.console.up import run

    run(_settings(), port)


@app.command("import")
def import_(
    dataset: Annotated[str, typer.Argument(help="Dataset, such as prices or politician_trades.")],
    file: Annotated[Path, typer.Argument(help="CSV, JSON or Parquet file; .gz too; long or wide.")],
    column_map: Annotated[
        list[str] | None, typer.Option("--map", help="TARGET=SOURCE: which of the file's columns is which.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="NAME=VALUE: what a layout wants to know.")
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="File of flags; symbols it marks as reused are left out.")
    ] = None,
    max_bad: Annotated[float, typer.Option(help="Share of bad rows above which nothing is imported.")] = 0.02,
) -> None:
    """Bring a file of history into a dataset's partitions. Bad rows are quarantined; again is a no-op."""
    from pas_dagster.console.bring import run

    run(_settings(), dataset, file, _pairs(column_map, "--map"), _pairs(option, "--option"), exclude, max_bad)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="Dataset, such as insider_buying; `pas sources` lists them.")],
    day: Annotated[str | None, typer.Option("--date", help="One day, YYYY-MM-DD; the newest if left out.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="First day of a range.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day of a range.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Read the bytes fetched before; ask nobody.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept-losses", help="Let days that have rows become empty if the source says so.")
    ] = False,
) -> None:
    """Ask the sources of a dataset for days, and store what they say."""
    from pas_dagster.console.fetch import run

    one = _day(day, "--date")
    if one and (since or until):
        raise PasError("give either --date, or --from and --to")
    first, last = one or _day(since, "--from"), one or _day(until, "--to")
    if (first is None) != (last is None) or (first and last and first > last):
        raise PasError("a range needs --from and --to, the first not after the last")
    run(_settings(), dataset, first, last, again=again, accept=accept)


@app.command()
def record(
    dataset: Annotated[str, typer.Argument(help="Dataset.")],
    tape: Annotated[Path, typer.Option(help="Folder for the tape.")],
    provider: Annotated[str | None, typer.Option(help="Source; the dataset's first if left out.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="Day to ask for, YYYY-MM-DD.")] = None,
) -> None:
    """Save a source's live answers as a tape that `pas sandbox serve --tape` plays."""
    from pas_dagster.console.fetch import record as run

    run(_settings(), dataset, provider, _day(day, "--date"), tape)


@app.command()
def sources(as_json: Json = False) -> None:
    """Who can supply each dataset, how far back, and what is missing."""
    from pas_dagster.console.fetch import sources as found
    from pas_dagster.console.table import show

    frame = found(_settings())
    print(frame.to_json(orient="records")) if as_json else show(frame)


@sandbox.command("serve")
def sandbox_serve(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8765,
    tape: Annotated[Path | None, typer.Option(help="Play recorded answers from this folder instead.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="HOST[/PATH]=FAULT[*TIMES]; may be given often.")] = None,
    limited: Annotated[
        bool, typer.Option("--limited", help="Enforce the rate limits of the sites and the broker.")
    ] = False,
    hosts: Annotated[bool, typer.Option("--hosts", help="List the hosts and end.")] = False,
    broker_port: Annotated[int, typer.Option(help="The broker's port on this machine.")] = 8766,
    stream_port: Annotated[int, typer.Option(help="Port of the broker's stream.")] = 8767,
    broker_fault: Annotated[
        list[str] | None,
        typer.Option(help="'[METHOD ]PATH=KIND[+after][*TIMES]', 'stream=repeats', 'stream=breaks*EVENTS'."),
    ] = None,
    duplicate_ids: Annotated[
        bool, typer.Option("--duplicate-ids", help="Take a client order id more than once, which Alpaca does not.")
    ] = False,
    partial: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the orders that fill in pieces within a minute.")
    ] = 0.0,
    rejected: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the orders that are taken and then rejected.")
    ] = 0.0,
) -> None:
    """Serve the sandbox world over HTTP in the sources' own formats, and a broker on its prices."""
    from pas_dagster.console.sandbox import run
    from pas_dagster.sandbox.broker.service import Terms

    chosen = _settings()
    terms = Terms(broker_port, stream_port, chosen.capital, broker_fault or [], duplicate_ids, partial, rejected)
    run(chosen.seed, chosen.start, port, tape, fault or [], limited, hosts, terms)


@app.command()
def backfill(
    since: Annotated[
        str | None, typer.Option("--from", help="First day, YYYY-MM-DD; the home's first day if left out.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day; the last one with data if left out.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this asset; may be given several times.")] = None,
) -> None:
    """Materialise every asset for every partition of a range, in the order of the graph."""
    from pas_dagster.console.history import run

    run(_settings(), _day(since, "--from"), _day(until, "--to"), only or [])


@app.command()
def rebalance(
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with a reason per order; send and book nothing.")
    ] = False,
    call: Annotated[
        str | None,
        typer.Option(
            "--call",
            metavar="weights|all",
            help="Trade to the targets although nothing new takes effect; `all` resets the portfolios' capital, too.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Trade today's decision once, or go on with it.

    Exit code 0 when the batch is done, 3 when orders are still working, 1 when something kept it back.
    """
    from pas_dagster.console.rebalance import run

    raise typer.Exit(run(_settings(), dry=dry, call=call, as_json=as_json))


@app.command()
def close(
    portfolio: Annotated[str, typer.Argument(help="Portfolio (sleeve); `pas positions` names them.")],
    symbol: Annotated[str, typer.Argument(help="Symbol.")],
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Sell all that a portfolio holds of a symbol, at a paper or live account.

    Exit code 0 when it is sold, 3 when the order is still working, 1 when nothing was sent.
    """
    from pas_dagster.console.close import run

    raise typer.Exit(run(_settings(), portfolio, symbol, sure=sure))


@app.command()
def reconcile(
    as_json: Json = False,
    settle: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="ORDER unsent", help="Give up an order whose outcome stayed unknown; look at the broker first."
        ),
    ] = None,
    accept: Annotated[
        str | None, typer.Option(metavar="WHY", help="Book what differs as the broker has it; find the cause first.")
    ] = None,
    new_account: Annotated[
        bool, typer.Option("--new-account", help="Begin new books: the broker's account was reset or is another one.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Book what happened at the broker, also to open orders, and compare. Nothing is sent; a halted account is
    compared too.

    Exit code 0 when nothing differs without a reason, 4 when something does.
    """
    from pas_dagster.console import reconcile as books

    if settle is not None:
        books.settle(_settings(), *settle)
    elif accept is not None:
        raise typer.Exit(books.accept(_settings(), accept, sure=yes))
    elif new_account:
        raise typer.Exit(books.begin_anew(_settings(), sure=yes))
    else:
        raise typer.Exit(books.run(_settings(), as_json=as_json))


@app.command()
def positions(
    portfolio: Annotated[str | None, typer.Option("--sleeve", help="Only this portfolio (sleeve).")] = None,
    as_json: Json = False,
) -> None:
    """What every portfolio holds, what of it is reserved, what it cost and what came of it, by the ledger."""
    from pas_dagster.console.positions import run

    run(_settings(), portfolio, as_json=as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """The account, what is materialised, and to when."""
    from pas_dagster.console.status import run

    run(_settings(), as_json)


@app.command()
def sql(query: Annotated[str, typer.Argument(help="A query on the tables.")], as_json: Json = False) -> None:
    """Ask the lake. Reading only; every table goes by its plain name."""
    from pas_dagster.console.query import run

    run(_settings(), query, as_json)


@app.command()
def backtest(
    strategies: Annotated[list[str] | None, typer.Argument(help="Strategies; all of them if left out.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="First day, YYYY-MM-DD; the home's first day if left out.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day; the last one with prices if left out.")] = None,
    costs: Annotated[
        float | None, typer.Option("--costs", help="Commission and half-spread, basis points per traded dollar.")
    ] = None,
    interest: Annotated[bool, typer.Option(help="Whether cash earns the three-month Treasury rate.")] = True,
    audits: Annotated[int, typer.Option("--audits", min=0, help="Random decisions of the look-ahead audit.")] = 3,
    as_json: Json = False,
) -> None:
    """Run strategies over history, beside the account's own results, and compare them."""
    from pas_dagster.automation import workers

    workers.prepare()  # before the imports of this process: they go on side by side
    from pas_dagster.console.backtest import run

    run(_settings(), strategies or [], _day(since, "--from"), _day(until, "--to"), costs, interest, audits, as_json)


@explain.command("allocation")
def explain_allocation(
    day: Annotated[str | None, typer.Argument(help="Day, YYYY-MM-DD; the newest allocation if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Retell how the account was divided between the sleeves, step by step."""
    from pas_dagster.console.explain import allocation

    allocation(_settings(), _day(day, "DAY"), as_json)


@explain.command("order")
def explain_order(
    order: Annotated[str, typer.Argument(help="Order id; `select * from order_batch` names them.")],
    as_json: Json = False,
) -> None:
    """Retell an order: who asked for it, what became of it, and what was filled."""
    from pas_dagster.console.explain import order as run

    run(_settings(), order, as_json)


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="`account` or a strategy; all of them if left out.")] = None,
) -> None:
    """Make the tear sheets: one page for the account and each sleeve, to open in a browser."""
    from pas_dagster.console.sheets import run

    run(_settings(), name)


@app.command()
def risk(as_json: Json = False) -> None:
    """What the target is exposed to and may lose, and which rules are in force."""
    from pas_dagster.console.risk import run

    run(_settings(), as_json)


@strategy.command("list")
def strategy_list(as_json: Json = False) -> None:
    """Every strategy, when it decides and what it holds."""
    from pas_dagster.console.strategy import print_list

    print_list(_settings(), as_json)


@strategy.command("show")
def strategy_show(name: Annotated[str, typer.Argument(help="Strategy; `pas strategy list` names them.")]) -> None:
    """Rule, source, parameters, data, last weights and last backtest of a strategy."""
    from pas_dagster.console.strategy import one_page

    one_page(_settings(), name)


@strategy.command("new")
def strategy_new(name: Annotated[str, typer.Argument(help="Name: lower-case letters, digits and _.")]) -> None:
    """Write a working strategy of your own, with its test, into `strategies_dir`."""
    from pas_dagster.console.strategy import new

    new(_settings(), name)


@strategy.command("docs")
def strategy_docs(
    folder: Annotated[Path, typer.Option("--to", help="Folder for the pages.")] = Path("docs/strategies"),
) -> None:
    """Write the page of every strategy, with the last weights and backtest of this home."""
    from pas_dagster.console.strategy import write_pages

    write_pages(_settings(), folder)


@audit.command("lookahead")
def audit_lookahead(
    subject: Annotated[str | None, typer.Argument(help="Strategy, or a file with some; all if left out.")] = None,
    dates: Annotated[int, typer.Option(min=1, help="Decisions drawn at random.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draw and of the perturbed future.")] = 1,
) -> None:
    """Take the future away and change it, and prove that no weight moves. Exit code 1 if one does."""
    from pas_dagster.console.lookahead import run

    if not run(_settings(), subject, dates, seed):
        raise typer.Exit(1)


@app.command()
def halt(
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record.")] = "halted by hand",
    cancel_open: Annotated[
        bool, typer.Option("--cancel-open", help="Cancel our open orders at the brokers too.")
    ] = False,
) -> None:
    """Kill switch: no order of any account is sent from now on. Sells nothing."""
    from pas_dagster.console.halt import halt as run

    run(_settings(), reason, cancel_open=cancel_open)


@app.command()
def resume(
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record.")] = "resumed by hand",
) -> None:
    """Let halted accounts go on, and say why they were halted."""
    from pas_dagster.console.halt import resume as run

    run(_settings(), reason)


@app.command()
def arm(
    minutes: Annotated[
        int | None, typer.Option("--minutes", min=1, max=1440, help="How long the account may send orders.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Disarm at once.")] = False,
    account: Annotated[str | None, typer.Option("--account", help="Account; the only live one if left out.")] = None,
    broker_account: Annotated[
        str | None, typer.Option("--broker-account", help="Its id at the broker, if that is another one.")
    ] = None,
) -> None:
    """Let a live account send orders for a while. Nothing live is sent without it."""
    from pas_dagster.console.halt import arm as run

    if off == (minutes is not None):
        raise PasError("give either --minutes or --off")
    run(_settings(), minutes or 0, account, broker_account)


@books.command("verify")
def ledger_verify(as_json: Json = False) -> None:
    """Compute every balance and position again from the journal. Exit code 1 if anything differs."""
    from pas_dagster.console.ledger import verify

    if not verify(_settings(), as_json):
        raise typer.Exit(1)


@books.command("export")
def ledger_export(
    what: Annotated[str, typer.Argument(help="What: trades.")],
    how: Annotated[str, typer.Option("--format", help="ndjson or csv.")] = "ndjson",
    out: Annotated[Path | None, typer.Option("--out", help="File; the terminal if left out.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Account; the only one if left out.")] = None,
) -> None:
    """Write the trade log: timestamp, symbol, side, qty, price, nav, cash_left."""
    from pas_dagster.console.ledger import export

    if what != "trades":
        raise PasError(f"{what!r} cannot be exported; trades can")
    if how not in ("ndjson", "csv"):
        raise PasError(f"--format {how!r} is neither ndjson nor csv")
    run_format = "csv" if how == "csv" else "ndjson"
    export(_settings(), run_format, out, account)


@database.command("start")
def database_start() -> None:
    """Start the embedded Postgres and keep it; notes its address in .env for plain `dagster dev`."""
    from pas_dagster.console.database import start

    start(_settings())


@database.command("stop")
def database_stop() -> None:
    """Stop the embedded Postgres."""
    from pas_dagster.console.database import stop

    stop(_settings())


@database.command("status")
def database_status() -> None:
    """Say whether the database answers."""
    from pas_dagster.console.database import status as report

    report(_settings())


@database.command("url")
def database_url() -> None:
    """Print the address of the running database, for psql and BI tools."""
    from pas_dagster.console.database import url

    url(_settings())


def _settings() -> Settings:
    from pas_dagster import settings

    return settings.load()


def _sandbox_settings() -> Settings:
    """Settings of a sandbox home: the existing one's, or a new one of four years ending yesterday."""
    from pas_dagster import calendar, present, settings

    chosen = settings.load()
    if settings.read_home(chosen.home):
        if chosen.world != "sandbox":
            raise PasError(
                f"{chosen.home} holds real data. Give the demo a folder of its own: PAS_HOME=.pas-demo pas demo"
            )
        return chosen
    today = calendar.today(present.now(chosen.model_copy(update={"world": "sandbox"})))
    first = calendar.roll_forward(date(today.year - 4, today.month, min(today.day, 28)))
    return settings.load(world="sandbox", start=first)


def _pairs(texts: list[str] | None, flag: str) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise PasError(f"{flag} {text!r} is not of the form NAME=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs


def _day(text: str | None, flag: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise PasError(f"{flag} {text!r} is not a day; write it as YYYY-MM-DD") from None


if __name__ == "__main__":
    main()
