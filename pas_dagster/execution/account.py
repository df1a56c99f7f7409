"""The account that the settings name: its rules, its broker, and its gates."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

from pydantic import SecretStr

from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import Broker
from pas_dagster.execution.gates import Gates
from pas_dagster.execution.guard import Conditions, Guard, no_conditions
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.settings import Settings

ALPACA = {"paper": "https://paper-api.alpaca.markets", "live": "https://api.alpaca.markets"}
TWS = "127.0.0.1:7497"


def account_spec(chosen: Settings) -> AccountSpec:
    """The account as the ledger knows it; one id for each broker and kind of account."""
    simulated = chosen.broker == "simulated"
    return AccountSpec(
        id="simulated" if simulated else f"{chosen.broker}-{chosen.mode}",
        broker=chosen.broker,
        mode=chosen.mode,
        capital_usd=chosen.capital,
        cost_bp=chosen.cost_bp if simulated else 0.0,
        min_order_usd=chosen.min_order_usd,
        band=chosen.drift_band,
        band_relative=chosen.drift_band_relative,
        band_usd=chosen.drift_band_usd,
        fractional=chosen.fractional and chosen.broker != "ibkr",
        opened=chosen.start,
    )


def address(chosen: Settings) -> str:
    """Where orders go."""
    if chosen.broker == "alpaca":
        return chosen.broker_url or ALPACA[chosen.broker_mode]
    return chosen.broker_url or TWS


@contextmanager
def connected(chosen: Settings) -> Generator[Broker]:
    """The broker, for as long as the block lasts.

    Raises `PasError` for the simulated one, whose books belong to a replay, and when keys are missing.
    """
    if chosen.broker == "alpaca":
        yield _alpaca(chosen)
    elif chosen.broker == "ibkr":
        with _ibkr(chosen) as broker:
            yield broker
    else:
        raise PasError("The simulated broker is asked by the run that trades; set `broker` to alpaca or ibkr.")


def _alpaca(chosen: Settings) -> Broker:
    from pas_dagster.execution.brokers import alpaca  # brings the SDK, which takes a second

    live = chosen.mode == "live"
    if live and chosen.world != "real":
        raise PasError("A live account is not traded on the facts of the sandbox; choose a home of the real world.")
    key = chosen.alpaca_live_key_id if live else chosen.alpaca_key_id
    secret = chosen.alpaca_live_secret_key if live else chosen.alpaca_secret_key
    prefix = "PAS_ALPACA_LIVE" if live else "PAS_ALPACA"
    return alpaca.connect(
        _told(key, f"{prefix}_KEY_ID"),
        _told(secret, f"{prefix}_SECRET_KEY"),
        address(chosen),
        live=live,
        data_url=chosen.broker_data_url,
        requests_per_minute=chosen.requests_per_minute,
    )


@contextmanager
def _ibkr(chosen: Settings) -> Generator[Broker]:
    from pas_dagster.execution.brokers.ibkr import IbkrBroker  # needs an extra

    if not chosen.ibkr_account:
        raise PasError("IBKR needs the account: set PAS_IBKR_ACCOUNT, such as DU1234567.")
    host, _, port = address(chosen).rpartition(":")
    if not host or not port.isdecimal():
        raise PasError(f"The address of TWS is host:port, such as {TWS}, not {address(chosen)!r}.")
    live = chosen.mode == "live"
    with IbkrBroker(chosen.ibkr_account, host, int(port), chosen.ibkr_client_id, live=live) as broker:
        yield broker


def _told(secret: SecretStr | None, variable: str) -> str:
    if secret is None or not secret.get_secret_value():
        raise PasError(f"Alpaca needs a key: set {variable} in the environment or in .env.")
    return secret.get_secret_value()


def gates(chosen: Settings) -> Gates:
    """`PasError` for a limit that does not exist or has no meaning."""
    try:
        return Gates(**chosen.gates)  # ty: ignore[invalid-argument-type]
    except (TypeError, ValueError) as error:
        raise PasError(f"Setting 'gates': {error}. Mend it; docs/execution.md lists the limits.") from None


def guard(
    chosen: Settings, environment: Mapping[str, str], conditions: Callable[[Sequence[str]], Conditions] = no_conditions
) -> Guard:
    """The gates of the settings. `environment`: of this process; the live switch looks there too."""
    url = address(chosen)
    shown = url if chosen.broker == "alpaca" else f"http://{url}"
    return Guard(gates(chosen), shown.rstrip("/"), chosen.allow_live, environment, conditions)
