"""A copy of the project in a folder of its own, used as a user would: through `pas`, `dagster` and the UI's API."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pas_dagster.settings import PROJECT

BIN = Path(sys.executable).parent
FILES = ("dagster.yaml", "workspace.yaml", "pyproject.toml")
PATIENCE = 180.0

LAUNCH_RUN = """mutation($given: ExecutionParams!) { launchPipelineExecution(executionParams: $given) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
LAUNCH_BACKFILL = """mutation($given: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $given) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
BACKFILL = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
RUNS = """query($id: String!) { runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
  ... on Runs { results { status tags { key value } } } } }"""


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without anything that chooses a home, a database or an instance."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PAS_", "DAGSTER", "PYTEST"))}
    return {**kept, "PYTHONWARNINGS": "ignore", **variables}


@dataclass(frozen=True)
class Project:
    """The folder that a user has cloned. Nothing in it touches the `.env` or the home of the real one."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, config: str = "") -> Project:
        root = folder / "project"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "pas_dagster", root / "pas_dagster", ignore=ignored)
        for name in FILES:
            shutil.copy(PROJECT / name, root / name)
        (root / "config.yaml").write_text(config)
        (folder / "user").mkdir()
        return cls(root)

    @property
    def user(self) -> Path:
        """The user's own folder, `~`."""
        return self.folder.parent / "user"

    @property
    def home(self) -> Path:
        return self.folder / ".pas"

    @property
    def env(self) -> dict[str, str]:
        """What `.env` says."""
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(PYTHONPATH=str(self.folder), HOME=str(self.user), PYTHONDONTWRITEBYTECODE="1")

    def run(self, command: str, *arguments: str) -> str:
        """Run a command of the environment in the project's root; its output when it succeeds."""
        result = subprocess.run(
            [BIN / command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert result.returncode == 0, (
            f"{command} {' '.join(arguments)}: {result.stdout[-3000:]} {result.stderr[-3000:]}"
        )
        return result.stdout

    def make_home(self, start: date) -> None:
        self.run(
            "python",
            "-c",
            "from datetime import date; from pas_dagster import settings; "
            f"settings.make_home(settings.load(world='sandbox', start=date.fromisoformat('{start}')))",
        )

    @contextmanager
    def dagster_dev(self) -> Iterator[Server]:
        """`dagster dev`, as a user types it, until the block ends."""
        port = free_port()
        log = self.folder.parent / "dagster-dev.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [BIN / "dagster", "dev", "-p", str(port)],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            server = Server(port, log, process)
            wait_for(server.is_up, "dagster dev to answer", log)
            yield server
        finally:
            _end(process)


@dataclass(frozen=True)
class Server:
    """The webserver's GraphQL API: what the UI's buttons call."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            found = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except (urllib.error.URLError, ConnectionError):
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    def materialise(self, assets: Sequence[str], key: str) -> None:
        """Launch one partition of assets and wait for the run's success."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "pas_dagster.definitions",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [asset]} for asset in assets],
        }
        tags = [{"key": "dagster/partition", "value": key}]
        given = {"selector": selector, "mode": "default", "runConfigData": "{}", "executionMetadata": {"tags": tags}}
        launched = self.ask(LAUNCH_RUN, given=given)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        self._wait(RUN, launched["run"]["runId"], "runOrError", "SUCCESS")

    def backfill(self, asset: str, keys: Sequence[str]) -> list[dict[str, str]]:
        """Backfill a range through the daemon and wait for it; the tags of each of its runs."""
        given = {"assetSelection": [{"path": [asset]}], "partitionNames": list(keys), "tags": []}
        launched = self.ask(LAUNCH_BACKFILL, given=given)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        self._wait(BACKFILL, launched["backfillId"], "partitionBackfillOrError", "COMPLETED_SUCCESS")
        runs = self.ask(RUNS, id=launched["backfillId"])["runsOrError"]["results"]
        return [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]

    def _wait(self, query: str, id_: str, field: str, wanted: str) -> None:
        def done() -> bool:
            status = self.ask(query, id=id_)[field]["status"]
            assert "FAIL" not in status and "CANCEL" not in status, self.log.read_text(errors="replace")[-5000:]
            return status == wanted

        wait_for(done, f"{id_} to end as {wanted}", self.log)


def wait_for(condition: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}: {log.read_text(errors='replace')[-3000:]}"
        time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, and force for whatever of its group is left."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
