"""Kenneth French's daily files of the sandbox world: zip archives of one CSV, as at
https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/data_library.html.

The library prints hundredths of a percent, the sandbox ten-thousandths, so that the world's factors come through whole.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date
from functools import lru_cache

import numpy as np

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World

_FOLDER = "/pages/faculty/ken.french/ftp/"
_FILES = {
    "F-F_Research_Data_Factors_daily_CSV.zip": ("mkt_rf", "smb", "hml", "rf"),
    "F-F_Research_Data_5_Factors_2x3_daily_CSV.zip": ("mkt_rf", "smb", "hml", "rmw", "cma", "rf"),
}
_TITLES = {"mkt_rf": "Mkt-RF", "smb": "SMB", "hml": "HML", "rmw": "RMW", "cma": "CMA", "rf": "RF"}


def answer(present: Present, call: Call) -> Answer | None:
    """An archive, or None for another path."""
    name = call.path.removeprefix(_FOLDER)
    if name not in _FILES or not call.path.startswith(_FOLDER):
        return None
    return Answer(_archive(present.world, name, present.today), 200, "application/x-zip-compressed")


@lru_cache(maxsize=8)
def _archive(world: World, name: str, today: date) -> bytes:
    known, lines = _lines(world, name)
    shown = lines[: int(np.searchsorted(known, np.datetime64(today), "right"))]
    vintage = shown[-1][:6] if shown else f"{world.start:%Y%m}"
    preamble = [
        f"This file was created by CMPT_ME_BEME_RETS_DAILY using the {vintage} CRSP database.",
        "The Tbill return is the simple daily rate that, over the number of trading days",
        "in the month, compounds to 1-month TBill rate.",
        "",
        "," + ",".join(_TITLES[column] for column in _FILES[name]),
    ]
    text = "\r\n".join([*preamble, *shown, "", f"Copyright {today.year} Eugene F. Fama and Kenneth R. French", ""])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        inside = zipfile.ZipInfo(name.removesuffix("_CSV.zip") + ".csv", (2020, 1, 1, 0, 0, 0))
        archive.writestr(inside, text.encode("latin-1"), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@lru_cache(maxsize=4)
def _lines(world: World, name: str) -> tuple[np.ndarray, list[str]]:
    """When each line was published, and the lines, in order of days."""
    rows = world.table("fama_french_factors")
    days = rows["event_date"].dt.strftime("%Y%m%d").tolist()
    columns = [(rows[column] * 100).round(4).tolist() for column in _FILES[name]]
    lines = [
        ",".join([day, *(f"{value:8.4f}" for value in values)]) for day, *values in zip(days, *columns, strict=True)
    ]
    return rows["known_on"].to_numpy("datetime64[D]"), lines


SITE = Site(("mba.tuck.dartmouth.edu",), answer)
