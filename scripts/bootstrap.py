#!/usr/bin/env python3
"""Make .venv from the hash lock (once), then run a command inside it.

    python3 scripts/bootstrap.py pas demo
    python3 scripts/bootstrap.py --group dev pytest

Standard library only: this file must run before anything is installed. A stamp holding the digest of the
lock, pyproject.toml and the interpreter makes every further run skip the set-up.
"""

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCKS = {"run": "lock.txt", "dev": "lock-dev.txt", "bench": "lock-bench.txt"}  # each contains the one before


def fingerprint(lock: str) -> str:
    """Digest of everything the environment is made from."""
    parts = [(ROOT / name).read_bytes() for name in (lock, "pyproject.toml")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode()])).hexdigest()


def is_ready(group: str) -> bool:
    """True when this group, or one that contains it, is installed from the present lock."""
    wider = list(LOCKS)[list(LOCKS).index(group) :]
    stamps = {name: VENV / f".stamp-{name}" for name in wider}
    return any(p.exists() and p.read_text() == fingerprint(LOCKS[n]) for n, p in stamps.items())


def pip(*args: str) -> None:
    subprocess.run([PYTHON, "-m", "pip", "--disable-pip-version-check", "-q", *args], check=True, cwd=ROOT)


def uv(*args: str) -> None:
    # Hard links or clones from the cache are faster, but cross devices in containers: uv falls back and warns.
    env = {**os.environ, "UV_LINK_MODE": os.environ.get("UV_LINK_MODE", "copy")}
    command = [BIN / "uv", "pip", "install", "-q", "--python", PYTHON, *args]
    subprocess.run(command, check=True, cwd=ROOT, env=env)


def install(lock: str) -> None:
    """Install the lock with uv, or with pip where no uv can be had."""
    try:
        pip("install", "uv")
        uv("--require-hashes", "-r", lock)
        uv("--no-deps", "-e", ".")
    except (subprocess.CalledProcessError, OSError):
        print("· uv is not to be had here; installing with pip, which takes longer …", flush=True)
        pip("install", "--no-deps", "--require-hashes", "-r", lock)  # the lock is complete
        pip("install", "--no-deps", "-e", ".")


def set_up(group: str) -> None:
    started = time.monotonic()
    print(f"· setting up .venv from {LOCKS[group]} (once) …", flush=True)
    if not PYTHON.exists():
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit("Python's venv module is incomplete here. Try: apt-get install python3-venv")
    try:
        install(LOCKS[group])
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"Set-up failed (exit code {error.returncode}); the lines above say why. Nothing was changed outside .venv."
        )
    (VENV / f".stamp-{group}").write_text(fingerprint(LOCKS[group]))
    print(f"· ready in {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(
            f"Python 3.11, 3.12 or 3.13 is needed; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 demo"
        )
    args = sys.argv[1:]
    group = "run"
    if args[:1] == ["--group"]:
        group, args = args[1], args[2:]
    if group not in LOCKS:
        sys.exit(f"No such group: {group}. Choose one of: {', '.join(LOCKS)}")
    if not is_ready(group):
        set_up(group)
    if args:
        program = BIN / args[0]
        os.chdir(ROOT)
        if os.name == "nt":
            sys.exit(subprocess.call([program, *args[1:]]))
        os.execv(program, [str(program), *args[1:]])


if __name__ == "__main__":
    main()
