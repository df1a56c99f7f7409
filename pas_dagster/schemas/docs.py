"""The page `docs/tables.md`, made from the schemas: `python -m pas_dagster.schemas.docs > docs/tables.md`."""

from __future__ import annotations

from pas_dagster.schemas import DATASETS, RESULTS, Table


def page() -> str:
    """All tables as Markdown."""
    parts = [
        "# Tables",
        "Made by `python -m pas_dagster.schemas.docs`; do not edit. `pas sql` sees every table under its plain name, "
        "psql in schema `pas`. A table's partition is the day by which it is replaced as a whole.",
        "## Facts",
        *(_section(table) for table in DATASETS),
        "## Decisions and results",
        *(_section(table) for table in RESULTS),
    ]
    return "\n\n".join(parts) + "\n"


def _section(table: Table) -> str:
    head = f"### {table.name}\n\n{table.doc}. Partition: `{table.partition}`. Key: `{', '.join(table.key)}`.\n"
    rows = ["| column | type | unit | meaning | rule |", "|---|---|---|---|---|"]
    for column in table.columns:
        rule = column.rule_text if column.rule else ""
        null = "" if column.nullable else "not null"
        words = "; ".join(text for text in (null, rule) if text).replace("|", "\\|")
        rows.append(f"| {column.name} | {column.kind.sql} | {column.unit} | {column.doc} | {words} |")
    return head + "\n" + "\n".join(rows)


if __name__ == "__main__":
    print(page(), end="")
