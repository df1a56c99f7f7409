"""`pas report`: tear sheets, one page of HTML for the account or a sleeve."""

from __future__ import annotations

from pas_dagster.automation.session import working
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings, read_home


def run(chosen: Settings, name: str | None) -> None:
    """Make one page, or all of them, from what the lake holds, and print where they are.

    Raises:
        PasError: there is no home, no such page, or one that cannot be made.
    """
    if not read_home(chosen.home):
        raise PasError(f"There is no data in {chosen.home} yet. Try `pas demo`, or bring in real data.")
    with working(chosen):
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.assets.tear_sheets import folder_of, make_sheets, sheet_names

        workshop = Workshop()
        names = sheet_names(workshop.lake)
        if name is not None and name not in names:
            raise PasError(f"There is no report of {name!r}. There are: {', '.join(names)}.")
        wanted = names if name is None else [name]
        found = make_sheets(workshop.lake, workshop.settings, folder_of(workshop), wanted)
    for sheet in found.made:
        print(sheet.path)
    if found.failed:
        reasons = "; ".join(f"{failed}: {reason}" for failed, reason in found.failed.items())
        raise PasError(f"{len(found.failed)} of {len(wanted)} pages cannot be made ({reasons}).")
