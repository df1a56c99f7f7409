"""The SEC's "Insider Transactions Data Sets": all Forms 3, 4 and 5 of a quarter in one ZIP of tab-separated tables.

https://www.sec.gov/data-research/sec-markets-data/insider-transactions-data-sets and `FORM_345_readme.htm` inside. Used
are SUBMISSION (a row per filing), REPORTINGOWNER (a row per owner) and NONDERIV_TRANS (a row per transaction), joined
by ACCESSION_NUMBER. Days are written `31-JAN-2024`. AFF10B5ONE is there since 2023. NONDERIV_TRANS_SK rises in the
order of the document, so the rank within a filing is the line. Against the documents themselves: prices are rounded to
cents, and there is no time, only the filing day.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection

import numpy as np
import pandas as pd

from pas_dagster.sources.ownership import DIRECTIONS, FORMS, NUMBER, ROLES, chosen, plan_of, symbols_of
from pas_dagster.sources.sheets import Sheet
from pas_dagster.sources.source import Bad, LayoutError

NEEDED = {
    "SUBMISSION.tsv": ("ACCESSION_NUMBER", "FILING_DATE", "DOCUMENT_TYPE", "ISSUERTRADINGSYMBOL"),
    "REPORTINGOWNER.tsv": ("ACCESSION_NUMBER", "RPTOWNERNAME", "RPTOWNER_RELATIONSHIP", "RPTOWNER_TITLE"),
    "NONDERIV_TRANS.tsv": (
        *("ACCESSION_NUMBER", "NONDERIV_TRANS_SK", "TRANS_DATE", "TRANS_CODE"),
        *("TRANS_SHARES", "TRANS_PRICEPERSHARE", "TRANS_ACQUIRED_DISP_CD"),
    ),
}
"""Members of the archive, and the columns without which they cannot be read."""

MAX_BYTES = 256 * 1024 * 1024  # of the three tables unpacked; a quarter has about 40 MB

_SHOWN = 500  # characters of a torn line
_PLAN = "AFF10B5ONE"
_ROLE = {"officer": "officer", "director": "director", "tenpercentowner": "owner", "other": "other"}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAY = r"^\s*(\d{1,2})-([A-Z]{3})-(\d{4})\s*$"


def parse_quarter(content: bytes, listed: Collection[str] | None = None) -> Sheet:
    """Rows of insider_buying without known_at. `listed` as in `parse_ownership`. Raises `LayoutError`."""
    tables, torn = _tables(content)
    filings = _filings(tables["SUBMISSION.tsv"], listed)
    trades = tables["NONDERIV_TRANS.tsv"]
    trades = trades[trades["ACCESSION_NUMBER"].isin(filings.index)].reset_index(drop=True)
    owners = tables["REPORTINGOWNER.tsv"]
    owners = _owners(owners[owners["ACCESSION_NUMBER"].isin(filings.index)])
    rows = _rows(trades, filings.reindex(trades["ACCESSION_NUMBER"]), owners.reindex(trades["ACCESSION_NUMBER"]))
    reasons = _reasons(trades, rows)
    refused = reasons != ""
    told = trades[refused].to_dict("records")
    bad = [Bad(reason, content) for reason, content in zip(reasons[refused], told, strict=True)]
    return Sheet(rows[~refused].reset_index(drop=True), [*torn, *bad])


def _tables(content: bytes) -> tuple[dict[str, pd.DataFrame], list[Bad]]:
    """The three tables, all text, '' where a cell is empty; and the lines that are torn."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename.rsplit("/", 1)[-1].lower(): info for info in archive.infolist()}
            missing = [name for name in NEEDED if name.lower() not in members]
            if missing:
                raise LayoutError(f"the archive of a quarter holds {missing[0]}")
            wanted = {name: members[name.lower()] for name in NEEDED}
            if sum(info.file_size for info in wanted.values()) > MAX_BYTES:
                raise LayoutError(f"the tables of a quarter have at most {MAX_BYTES:,} bytes")
            unpacked = {name: archive.read(info) for name, info in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        raise LayoutError("the data of a quarter is a sound ZIP archive") from None
    lines = {name: _lines(table) for name, table in unpacked.items()}
    tables = {name: _table(name, whole) for name, (whole, _) in lines.items()}
    empty = next((name for name, table in tables.items() if table.empty), None)
    if empty is not None:
        raise LayoutError(f"{empty} of a quarter has rows")
    torn = [Bad(f"a line of {name} has as many cells as its first", line) for name in lines for line in lines[name][1]]
    return tables, torn


def _lines(content: bytes) -> tuple[list[str], list[str]]:
    """Lines that have as many cells as the first, and others: a tab or a line feed in a text tears a line."""
    first, *others = content.decode("utf-8-sig", errors="replace").replace("\r", "").replace("\0", "").split("\n")
    cells = first.count("\t")
    torn = [line[:_SHOWN] for line in others if line and line.count("\t") != cells]
    return [first, *(line for line in others if line and line.count("\t") == cells)], torn


def _table(name: str, lines: list[str]) -> pd.DataFrame:
    wanted = {*NEEDED[name], _PLAN}
    # A quote is a character like any other: titles hold it.
    try:
        table = pd.read_csv(
            io.StringIO("\n".join(lines)),
            sep="\t",
            dtype=str,
            quoting=3,
            lineterminator="\n",
            usecols=lambda column: column.strip().upper() in wanted,
            keep_default_na=False,
            index_col=False,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError):
        raise LayoutError(f"{name} is a tab-separated table") from None
    table.columns = [str(column).strip().upper() for column in table.columns]
    missing = [column for column in NEEDED[name] if column not in table]
    if missing or table.columns.duplicated().any():
        raise LayoutError(f"{name} has each of the columns {', '.join(NEEDED[name])} once")
    if _PLAN not in table:
        table[_PLAN] = ""
    return table.fillna("").apply(lambda column: column.str.strip())


def _filings(table: pd.DataFrame, listed: Collection[str] | None) -> pd.DataFrame:
    """Forms 4 of companies that are wanted, by accession: symbol, known_on, plan, amendment."""
    table = table[table["DOCUMENT_TYPE"].isin(FORMS)].drop_duplicates("ACCESSION_NUMBER")
    if table.empty:
        raise LayoutError("SUBMISSION.tsv of a quarter has forms 4")
    symbol = _each(table["ISSUERTRADINGSYMBOL"], lambda text: chosen(symbols_of(text), listed))
    found = pd.DataFrame(
        {
            "symbol": symbol,
            "known_on": days(table["FILING_DATE"]),
            "plan": _each(table[_PLAN], plan_of),
            "amendment": table["DOCUMENT_TYPE"] == FORMS[1],
        }
    ).set_axis(table["ACCESSION_NUMBER"])
    return found if listed is None else found[found["symbol"].notna()]


def _owners(table: pd.DataFrame) -> pd.DataFrame:
    """By accession: insider, role and title of all its owners."""
    words = {text: _roles(text) for text in table["RPTOWNER_RELATIONSHIP"].unique()}
    ranks = table["RPTOWNER_RELATIONSHIP"].map(words)
    first = ranks.groupby(table["ACCESSION_NUMBER"]).min()
    named = table[table["RPTOWNERNAME"] != ""].drop_duplicates(["ACCESSION_NUMBER", "RPTOWNERNAME"])
    alone = ~named["ACCESSION_NUMBER"].duplicated(keep=False)
    insider = pd.concat(
        [
            named[alone].set_index("ACCESSION_NUMBER")["RPTOWNERNAME"],
            named[~alone].groupby("ACCESSION_NUMBER", sort=False)["RPTOWNERNAME"].agg("; ".join),
        ]
    )
    titled = table[table["RPTOWNER_TITLE"] != ""].drop_duplicates("ACCESSION_NUMBER")
    title = titled.set_index("ACCESSION_NUMBER")["RPTOWNER_TITLE"]
    roles = np.array([*ROLES, None], dtype=object)[first.to_numpy(dtype=np.int64)]
    frame = pd.DataFrame({"role": pd.Series(roles, first.index, dtype=object)})
    return frame.assign(insider=_plainly(insider), title=_plainly(title))


def _plainly(texts: pd.Series) -> pd.Series:
    """Single blanks between words, as in the documents."""
    return texts.str.replace(r"\s+", " ", regex=True)


def _roles(text: str) -> int:
    """The place in ROLES of the first role that a relationship such as "Director,Officer" names."""
    found = {_ROLE.get(word.strip().lower().replace(" ", "")) for word in text.split(",")}
    return next((place for place, role in enumerate(ROLES) if role in found), len(ROLES))


def _rows(trades: pd.DataFrame, filings: pd.DataFrame, owners: pd.DataFrame) -> pd.DataFrame:
    """Transactions with what their filing says; the columns of the table."""
    trades = trades.drop_duplicates(["ACCESSION_NUMBER", "NONDERIV_TRANS_SK"])  # the number is a transaction's own
    key = pd.to_numeric(trades["NONDERIV_TRANS_SK"], errors="coerce")
    line = key.groupby(trades["ACCESSION_NUMBER"]).rank(method="first").fillna(0).astype("int64")
    frame = pd.DataFrame(
        {
            "accession": trades["ACCESSION_NUMBER"],
            "line": line,
            "event_date": days(trades["TRANS_DATE"]),
            "code": trades["TRANS_CODE"],
            "direction": trades["TRANS_ACQUIRED_DISP_CD"].map(DIRECTIONS),
            "shares": _numbers(trades["TRANS_SHARES"]),
            "price": _numbers(trades["TRANS_PRICEPERSHARE"]),
        }
    )
    shared = pd.concat([part.reset_index(drop=True) for part in (filings, owners)], axis=1)
    return pd.concat([frame, shared], axis=1)


def _reasons(trades: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Why a row cannot be read, '' where it can."""
    checks = [
        (rows["symbol"].isna(), "ISSUERTRADINGSYMBOL names no symbol"),
        (rows["insider"].isna(), "REPORTINGOWNER names no owner of the filing"),
        (rows["line"] == 0, "NONDERIV_TRANS_SK is not a number"),
        (rows["known_on"].isna(), "FILING_DATE is not a day"),
        (rows["event_date"].isna(), "TRANS_DATE is not a day"),
        (rows["event_date"] > rows["known_on"], "TRANS_DATE is after FILING_DATE"),
        (rows["code"] == "", "TRANS_CODE is missing"),
        (rows["direction"].isna(), "TRANS_ACQUIRED_DISP_CD is neither A nor D"),
        (rows["shares"].isna(), "TRANS_SHARES is not a number"),
        (rows["price"].isna() & (trades["TRANS_PRICEPERSHARE"] != ""), "TRANS_PRICEPERSHARE is not a number"),
    ]
    conditions = [check.to_numpy(dtype=bool) for check, _ in checks]
    return np.select(conditions, [reason for _, reason in checks], default="").astype(object)


def days(texts: pd.Series) -> pd.Series:
    """Days such as 31-JAN-2024 in whatever case, as datetime64[us]; NaT for anything else."""
    parts = texts.str.upper().str.extract(_DAY)
    month = parts[1].map({name: f"{number:02d}" for number, name in enumerate(_MONTHS, start=1)})
    iso = parts[2] + "-" + month + "-" + parts[0].str.zfill(2)
    return pd.to_datetime(iso, format="%Y-%m-%d", errors="coerce").astype("datetime64[us]")


def _numbers(texts: pd.Series) -> pd.Series:
    plain = texts.str.fullmatch(NUMBER)
    return pd.to_numeric(texts.where(plain), errors="coerce").astype("float64")


def _each(texts: pd.Series, of: Callable[[str], str | None]) -> pd.Series:
    """A function of texts that repeat, asked once for each; None stays None."""
    known = {text: of(text) for text in texts.unique()}
    return pd.Series([known[text] for text in texts], index=texts.index, dtype=object)
