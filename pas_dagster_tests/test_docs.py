"""The documentation is true: generated pages are up to date, and what is referred to exists."""

import re
import tomllib
from pathlib import Path

from pas_dagster.execution.docs import gates_table, settings_table
from pas_dagster.schemas.docs import page

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_page_of_tables_is_what_the_schemas_say() -> None:
    assert (ROOT / "docs/tables.md").read_text() == page()


def test_the_page_of_execution_lists_every_limit_and_setting_with_its_default() -> None:
    text = (ROOT / "docs/execution.md").read_text()
    for table in (gates_table(), settings_table()):
        assert f"\n\n{table}\n\n" in text, "python -m pas_dagster.execution.docs prints the tables of now"


def test_every_link_to_a_file_leads_to_one() -> None:
    for document in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_command_of_the_documentation_exists() -> None:
    from pas_dagster.cli import app

    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    below = {g.name: {c.name for c in g.typer_instance.registered_commands} for g in app.registered_groups}
    for document in PAGES:
        for line in re.findall(r"^\s*(?:PAS_\w+=\S+ )*pas ([a-z]+)(?: ([a-z]+))?", document.read_text(), re.MULTILINE):
            assert line[0] in known or line[1] in below.get(line[0], ()), f"{document.name}: pas {' '.join(line)}"


def test_every_make_target_of_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert target in targets, f"{document.name}: make {target}"


def test_every_direct_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    explained = (ROOT / "docs/dependencies.md").read_text().lower()
    for line in [*project["project"]["dependencies"], *sum(project["dependency-groups"].values(), [])]:
        name = re.split(r"[<>=~]", line)[0].lower()
        assert name in explained, f"docs/dependencies.md does not say why {name} is there"


def test_no_address_of_a_registry_is_in_the_locks() -> None:
    for lock in ROOT.glob("lock*.txt"):
        assert "://" not in lock.read_text()
