"""Typed settings: environment > `.env` > `config.yaml` > what the home was made with > defaults.

A *home* is one folder that holds everything a system writes (database, lake, raw bytes, Dagster's artefacts).
What a home was made with (its world, seed and first day) is written into it once, because partition start
dates must never move under existing data.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from pas_dagster.errors import PasError

PROJECT = Path(__file__).resolve().parent.parent
CHAMPION = "champion"
RULES: list[dict[str, Any]] = [
    {"name": "deep drawdown", "metric": "drawdown", "operator": "<", "threshold": -0.15, "severity": "critical"},
    {"name": "value at risk", "metric": "var_95_historical", "operator": "<", "threshold": -0.03},
    {"name": "one name", "metric": "largest_name", "operator": ">", "threshold": 0.25},
    {"name": "old prices", "metric": "data_age", "operator": ">", "threshold": 4.0, "severity": "critical"},
]
GROUPS = {
    **dict.fromkeys(("policy_50_25_25", "glide_path", "sector_risk_parity"), "diversified"),
    **dict.fromkeys(("leveraged_sector_momentum", "volatility_scaled_momentum", "upgrade_momentum"), "momentum"),
}
HOME_FILE = "home.json"
INSTANCE_FILE = "dagster.yaml"
HOME_KEYS = ("world", "seed", "start")


class Settings(BaseSettings):
    """Every setting, with its default. Environment variables carry the prefix `PAS_` (`PAS_HOME`, `PAS_START`)."""

    model_config = SettingsConfigDict(env_prefix="PAS_", env_file=PROJECT / ".env", extra="ignore", frozen=True)

    home: Path = Field(Path(".pas"), description="Folder that holds everything this system writes")
    database_url: SecretStr | None = Field(None, description="Postgres server to use instead of the embedded one")
    world: Literal["real", "sandbox"] = Field("real", description="Where facts come from")
    seed: int = Field(7, description="Seed of the sandbox world")
    start: date = Field(date(2015, 1, 1), description="First day of every partition set")
    capital: int = Field(1_000_000, gt=0, description="Opening cash of the simulated account, USD")
    cost_bp: float = Field(
        5.0, ge=0, le=500, description="Commission and half the spread, basis points per traded dollar"
    )
    impact: float = Field(
        1.0, ge=0, le=10, description="Market impact of trading one day's volume, in units of one day's volatility"
    )
    cash_interest: bool = Field(
        False, description="Whether sleeves earn the three-month Treasury rate on cash; the simulated broker pays none"
    )
    min_order_usd: int = Field(5, ge=1, description="Smaller orders are not sent")
    drift_band: float = Field(
        0.0, ge=0, le=1, description="A holding rests within this distance of its target, as a share of the sleeve"
    )
    drift_band_relative: float = Field(
        0.0, ge=0, le=1, description="The same as a share of the target; of two bands the narrower counts"
    )
    drift_band_usd: int = Field(0, ge=0, description="A holding rests within this distance of its target, USD")
    fractional: bool = Field(True, description="Whether orders may be for parts of a share")
    broker: Literal["simulated", "alpaca", "ibkr"] = Field(
        "simulated", description="Who executes: the simulated broker at the closes, Alpaca, or IBKR (experimental)"
    )
    broker_mode: Literal["paper", "live"] = Field("paper", description="Kind of the account at Alpaca or IBKR")
    broker_url: str | None = Field(
        None, description="Address of the broker; none = Alpaca's paper or live host, or TWS on this machine"
    )
    broker_data_url: str | None = Field(None, description="Address of Alpaca's market data, if not the usual one")
    allow_live: bool = Field(False, description="One of the four things that let a live account trade")
    broker_patience: float = Field(
        60.0, ge=0, le=3600, description="Seconds that a run waits for fills; the next run goes on"
    )
    requests_per_minute: int = Field(200, gt=0, description="Requests that the broker permits in a minute")
    gates: dict[str, float | int | bool | None] = Field(
        {}, description="Limits of the gates before orders: name -> limit, null for none; docs/execution.md lists them"
    )
    ibkr_account: str | None = Field(None, description="IBKR: account, such as DU1234567")
    ibkr_client_id: int = Field(17, ge=1, description="IBKR: client id at TWS; no other program may use it")
    clock_hours_back: float = Field(
        0.0, ge=0, le=240, description="Hours by which the sandbox's present is behind; to trade there on a weekend"
    )
    members: dict[str, str] = Field(
        default={"pelosi": "Nancy Pelosi", "meuser": "Daniel Meuser", "capito": "Shelley Moore Capito"},
        description="Sleeves that follow one member of Congress: suffix of the sleeve's name -> member",
    )
    universe_index: str | None = Field(
        None, description="Index whose members are the stock universe; none = every stock"
    )
    strategies: dict[str, dict[str, Any]] = Field(
        {}, description="Parameters of strategies: name -> parameter -> value"
    )
    strategies_dir: Path = Field(
        Path("strategies"), description="Folder of your own strategies, one file each; `pas strategy new` writes there"
    )
    strategy_seconds: float = Field(30, gt=0, le=3600, description="Longest time that one decision may take")
    providers: dict[str, list[str]] = Field(
        {}, description="Who serves a dataset, in order: dataset -> names; `pas sources` lists them"
    )
    sources: dict[str, dict[str, Any]] = Field({}, description="Options of sources: name -> option -> value")
    base_urls: dict[str, str] = Field({}, description="Host -> address to use instead (a mirror, a successor site)")
    sandbox_url: str | None = Field(
        None, description="Address of a running `pas sandbox serve`; none = each process serves its own"
    )
    contact: str | None = Field(None, description="Name and e-mail address that sites see; SEC and Wikimedia insist")
    cache_minutes: float = Field(15, ge=0, le=1440, description="How long an answer is used again without asking")
    alpaca_key_id: SecretStr | None = Field(None, description="Alpaca: key id")
    alpaca_secret_key: SecretStr | None = Field(None, description="Alpaca: secret key")
    alpaca_live_key_id: SecretStr | None = Field(None, description="Alpaca: key id of the live account")
    alpaca_live_secret_key: SecretStr | None = Field(None, description="Alpaca: its secret key")
    quiver_api_key: SecretStr | None = Field(None, description="Quiver API: key")
    lda_api_key: SecretStr | None = Field(None, description="Senate LDA API: key; raises the limit from 15 a minute")
    reddit_client_id: SecretStr | None = Field(None, description="Reddit: id of your own script application")
    reddit_client_secret: SecretStr | None = Field(None, description="Reddit: its secret")
    window_weeks: int = Field(12, ge=4, le=520, description="Weeks of sleeve returns that the allocation looks at")
    min_weight: float = Field(0.0, ge=0, le=1, description="Smallest weight of a sleeve, as a share of the account")
    max_weight: float = Field(0.40, gt=0, le=1, description="Largest weight of a sleeve")
    target_volatility: float = Field(0.08, gt=0, le=1, description="Annual volatility aimed at; the rest is cash")
    no_trade_band: float = Field(0.005, ge=0, le=0.5, description="Sleeve weights move only by more than this")
    turnover_budget: float | None = Field(
        None, gt=0, le=2, description="Largest sum of all weight changes of a week; none = no limit"
    )
    covariance: Literal["ledoit_wolf", "constant_correlation", "single_factor", "ewma"] = Field(
        "ledoit_wolf", description="Estimator of the covariance of the sleeves"
    )
    scheme: str = Field(
        "max_sharpe", description="Allocation scheme that the account follows, or `champion`: the best so far"
    )
    default_scheme: str = Field("max_sharpe", description="Scheme that the first champion has to beat")
    champion_weeks: int = Field(156, ge=2, le=1040, description="Weeks over which champions are compared")
    champion_least_weeks: int = Field(104, ge=2, le=1040, description="Weeks that both must have a record of")
    champion_margin: float = Field(0.25, ge=0, le=10, description="Sharpe ratio by which a challenger has to lead")
    champion_rest_weeks: int = Field(26, ge=1, le=520, description="Weeks between changes of the champion")
    strategic_mix: dict[str, float] = Field(
        {}, description="Strategic shares of the sleeves: sleeve -> share; none = equal shares"
    )
    sleeve_groups: dict[str, str] = Field(
        GROUPS, description="Groups of sleeves for the budgets: sleeve -> group; the others are a group of their own"
    )
    group_budgets: dict[str, float] = Field(
        {"diversified": 0.5, "momentum": 0.25}, description="Budgets: group -> share; the other sleeves get the rest"
    )
    tactical_tilt: float = Field(
        0.05, ge=0, le=1, description="Largest distance of a tactical share from its strategic"
    )
    defensive_sleeves: list[str] = Field(
        ["policy_50_25_25", "glide_path"], description="Sleeves that do not count as equity for the glide path"
    )
    birth_year: int = Field(1988, ge=1900, le=2100, description="Of the owner, for the glide path of the sleeves")
    uncertainty: float = Field(
        1.0, ge=0, le=100, description="Half width of the robust scheme's boxes, in standard errors"
    )
    risk_aversion: float = Field(5.0, gt=0, le=1000, description="Of the mean-variance scheme")
    views: list[dict[str, Any]] = Field(
        [], description="Views for the Black-Litterman scheme: sleeve (or above, below), expected, confidence"
    )
    max_gross: float = Field(1.0, gt=0, le=1, description="Largest invested share of the account")
    max_name: float | None = Field(
        0.25, gt=0, le=1, description="Largest share of the account in one symbol; none = any"
    )
    max_sector: float | None = Field(
        0.5, gt=0, le=1, description="Largest share of the account in the stocks of one sector; none = any"
    )
    risk_rules: list[dict[str, Any]] = Field(
        RULES, description="Risk rules: name, metric, operator, threshold, and portfolio, severity, clear, days"
    )
    breaker_daily_loss: float | None = Field(
        0.05, gt=0, lt=1, description="Loss of one session that trips the circuit breaker; none = no limit"
    )
    breaker_drawdown: float | None = Field(
        0.20, gt=0, lt=1, description="Fall from the high that trips the circuit breaker; none = no limit"
    )
    breaker_data_age: float | None = Field(
        4.0, ge=0, description="Age of prices in days that trips the circuit breaker; none = no limit"
    )
    breaker_cool_down: int | None = Field(
        5, ge=0, description="Days after which a tripped breaker opens by itself; none = only a person opens it"
    )
    crisis_exposure: float = Field(
        0.5, ge=0, le=1, description="Share of the targets that stands in a high-correlation crisis; 1 = no difference"
    )

    @property
    def mode(self) -> Literal["simulated", "paper", "live"]:
        """Kind of the account that orders go to."""
        return "simulated" if self.broker == "simulated" else self.broker_mode

    @property
    def postgres_dir(self) -> Path:
        return self.home / "postgres"

    @property
    def lake_dir(self) -> Path:
        return self.home / "lake"

    @property
    def dagster_dir(self) -> Path:
        """Dagster's own home: it drops artefacts beside its `dagster.yaml`, so it gets a folder and a link to ours."""
        return self.home / "dagster"

    @property
    def raw_dir(self) -> Path:
        return self.home / "raw"

    @property
    def captures_dir(self) -> Path:
        return self.home / "captures"

    @property
    def cache_dir(self) -> Path:
        return self.home / "cache"

    @property
    def reports_dir(self) -> Path:
        """Where the tear sheets are."""
        return self.home / "reports"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        yaml = YamlConfigSettingsSource(settings_cls, yaml_file=PROJECT / "config.yaml")
        return init_settings, env_settings, dotenv_settings, yaml


def load(**overrides: Any) -> Settings:
    """Read the settings afresh; raise `PasError` naming the setting, its value's fault and where to mend it."""
    try:
        chosen = Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise PasError(
            f"Setting {name!r}: {first['msg'].lower()}. Mend PAS_{name.upper()} in the environment or .env, "
            f"or {name!r} in config.yaml."
        ) from None
    except SettingsError as error:  # a value of the environment that should be JSON and is not; it is not repeated
        raise PasError(f"A setting of the environment or .env is not valid JSON: {error}.") from None
    except (YAMLError, ValueError) as error:  # ValueError: a list or a bare word where settings should be
        reason = " ".join(str(error).split())
        raise PasError(f"{PROJECT / 'config.yaml'} is not a YAML file of `setting: value` lines ({reason}).") from None
    _require_known_names()
    return _bind_to_home(chosen, overrides)


def _require_known_names() -> None:
    """A misspelt setting in config.yaml must not pass for one that was made."""
    path = PROJECT / "config.yaml"
    names = yaml.safe_load(path.read_text()) if path.exists() else None
    unknown = sorted(set(names or {}) - set(Settings.model_fields))
    if unknown:
        raise PasError(
            f"{path} has a setting {unknown[0]!r} that does not exist. There are: {', '.join(Settings.model_fields)}."
        )


def _bind_to_home(chosen: Settings, overrides: dict[str, Any]) -> Settings:
    """Take world, seed and start from an existing home; an explicit other value is an error, never a mixture."""
    home = PROJECT / chosen.home  # an absolute home stays as it is
    values: dict[str, Any] = {"home": home, "strategies_dir": PROJECT / chosen.strategies_dir}
    made_with = read_home(home)
    for key, value in made_with.items():
        asked = getattr(chosen, key)
        if key in chosen.model_fields_set and str(asked) != value:
            raise PasError(
                f"The home {home} was made with {key}={value}, but {key}={asked} is asked for. "
                f"Choose another folder with PAS_HOME, or drop the setting."
            )
        values[key] = value
    return chosen.model_copy(update={key: _typed(chosen, key, value) for key, value in values.items()})


def _typed(chosen: Settings, key: str, value: Any) -> Any:
    kind = type(getattr(chosen, key))
    return value if isinstance(value, kind) else date.fromisoformat(value) if kind is date else kind(value)


def read_home(home: Path) -> dict[str, str]:
    """What the home was made with, as text; empty for a home that does not exist yet."""
    path = home / HOME_FILE
    try:
        return {key: str(value) for key, value in json.loads(path.read_text()).items()} if path.exists() else {}
    except (ValueError, AttributeError, OSError):
        raise PasError(
            f"{path}, which says what the home was made with, is damaged. Write it again with the keys "
            f"{', '.join(HOME_KEYS)}, or choose another folder with PAS_HOME."
        ) from None


@lru_cache(maxsize=1)
def _current() -> Settings:
    return load()


def make_home(chosen: Settings) -> None:
    """Create the folders of the home and note once what it was made with."""
    try:
        _make_home(chosen)
    except OSError as error:
        raise PasError(
            f"The home {chosen.home} cannot be made ({error.strerror}: {error.filename}). "
            f"Choose another folder with PAS_HOME."
        ) from None


def _make_home(chosen: Settings) -> None:
    for folder in (chosen.home, chosen.lake_dir, chosen.raw_dir, chosen.dagster_dir):
        folder.mkdir(parents=True, exist_ok=True)
    instance = chosen.dagster_dir / INSTANCE_FILE
    if not instance.exists():
        instance.unlink(missing_ok=True)  # a link to a project that has moved
        with suppress(FileExistsError):  # another process was quicker
            instance.symlink_to(PROJECT / INSTANCE_FILE)
    path = chosen.home / HOME_FILE
    if not path.exists():
        partial = path.with_name(f"{HOME_FILE}.{os.getpid()}.partial")
        partial.write_text(json.dumps({key: str(getattr(chosen, key)) for key in HOME_KEYS}, indent=1))
        os.replace(partial, path)  # noqa: PTH105  (atomic by definition)


def current() -> Settings:
    """The settings of this process, read once (`choose` replaces them)."""
    return _chosen[-1] if _chosen else _current()


def choose(chosen: Settings) -> None:
    """Use these settings from now on. Definitions are built from them, so choose before importing those."""
    _chosen.append(chosen)


_chosen: list[Settings] = []
