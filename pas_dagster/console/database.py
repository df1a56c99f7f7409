"""`pas db`: keep the embedded Postgres running, and tell others where it is."""

from __future__ import annotations

from rich.console import Console

from pas_dagster import postgres
from pas_dagster.errors import PasError
from pas_dagster.settings import PROJECT, Settings

ENV_FILE = PROJECT / ".env"
OWN = ("PAS_DATABASE_URL", "DAGSTER_HOME", "PAS_HOME")


def start(chosen: Settings) -> None:
    from pas_dagster.automation.session import environment

    if _own_server(chosen):
        with postgres.running(chosen) as url:
            _note(environment(chosen, url))
        Console().print(f"The server named by {postgres.URL_VARIABLE} answers; noted in .env for Dagster.")
        return
    url = postgres.start(chosen, keep=True)
    _note(environment(chosen, url))
    Console().print(
        f"Postgres runs in {chosen.postgres_dir}; its address is noted in .env.\nNext: dagster dev", highlight=False
    )


def stop(chosen: Settings) -> None:
    stopped = postgres.stop(chosen)
    _note({})
    Console().print("Postgres is stopped." if stopped else "Postgres was not running.")


def status(chosen: Settings) -> None:
    address = _address(chosen)
    if address is None:
        raise PasError("Postgres is not running. Start it with `pas db start`.")
    postgres.check(address)
    Console().print("Postgres answers.")


def url(chosen: Settings) -> None:
    address = _address(chosen)
    if address is None:
        raise PasError("Postgres has not been started in this home. Start it with `pas db start`.")
    print(address)


def _address(chosen: Settings) -> str | None:
    if _own_server(chosen) and chosen.database_url is not None:
        return chosen.database_url.get_secret_value()
    return postgres.embedded_url(chosen)


def _own_server(chosen: Settings) -> bool:
    named = chosen.database_url
    return named is not None and named.get_secret_value() != postgres.embedded_url(chosen)


def _note(values: dict[str, str]) -> None:
    """Replace our lines of `.env`, leave the user's as they are; only the user may read the file."""
    lines = ENV_FILE.read_text().splitlines() if ENV_FILE.exists() else []
    kept = [line for line in lines if line.split("=", 1)[0].strip() not in OWN]
    text = "\n".join([*kept, *(f"{name}={value}" for name, value in values.items())])
    if not text:
        ENV_FILE.unlink(missing_ok=True)
        return
    ENV_FILE.touch(mode=0o600)
    ENV_FILE.chmod(0o600)  # before anything is in it
    ENV_FILE.write_text(text + "\n")
