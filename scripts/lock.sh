#!/bin/sh
# Resolve the three locks; the later ones are constrained by the earlier, so that each contains the one before.
set -eu
cd "$(dirname "$0")/.."
compile() { .venv/bin/uv pip compile --universal --generate-hashes --no-strip-extras --no-header --no-annotate \
  --no-emit-index-url --python-version 3.11 -q "$@"; }
compile pyproject.toml -o lock.txt
compile pyproject.toml --group dev -c lock.txt -o lock-dev.txt
compile pyproject.toml --group dev --group bench -c lock-dev.txt -o lock-bench.txt
