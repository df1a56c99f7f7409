"""An error that a user can mend is one sentence and exit code 1; every other error stays loud."""

from __future__ import annotations

import sys

import pytest

from pas_dagster import cli
from pas_dagster.errors import PasError


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "_settings", fail)
    monkeypatch.setattr(sys, "argv", ["pas", "status"])
    cli.main()


def test_one_sentence_and_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, PasError("prices.csv has no row 7. Mend the file."))
    assert caught.value.code == 1
    assert capsys.readouterr() == ("", "pas: prices.csv has no row 7. Mend the file.\n")


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, KeyboardInterrupt())
    assert caught.value.code not in (0, None)
    assert "Traceback" not in capsys.readouterr().err


def test_a_fault_of_the_program_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ZeroDivisionError("a bug"))
