"""The Senate's eFD: an agreement, a search that answers as DataTables do, and reports as web pages.

Nothing is shown to who has not agreed: every address leads back to the home page. A POST without the token of the
form, its cookie and a Referer is refused, as Django refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any

from pas_dagster.sandbox.sites.reports import Report, filed, reports
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer

HOST = "efdsearch.senate.gov"

_HOME = "/search/home/"
_REPORT = re.compile(r"/search/view/ptr/([0-9a-f-]{36})/")
_TOKEN = sha256(b"csrf of the sandbox").hexdigest()
_SESSION = sha256(b"session of the sandbox").hexdigest()[:32]
_MOST = 100
_OWNERS = {"SELF": "Self", "SP": "Spouse", "JT": "Joint", "DC": "Child"}
_TYPES = {
    "stock": "Stock",
    "etf": "Exchange Traded Fund/Note",
    "option": "Stock Option",
    "bond": "Municipal Security",
    "other": "Other Securities",
}
_DIRECTIONS = {
    ("buy", None): "Purchase",
    ("sell", "full"): "Sale (Full)",
    ("sell", "partial"): "Sale (Partial)",
    ("exchange", None): "Exchange",
}
_COLUMNS = ("#", "Transaction Date", "Owner", "Ticker", "Asset Name", "Asset Type", "Type", "Amount", "Comment")
_FORM = f'<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{_TOKEN}">'
_CSRF_COOKIE = f"csrftoken={_TOKEN}; Path=/; Secure; SameSite=Lax"
_CSRF_FAILED = Answer(b"<h1>Forbidden <span>(403)</span></h1><p>CSRF verification failed. Request aborted.</p>", 403)


def answer(present: Present, call: Call) -> Answer:
    """Home, search, the search's data, and the reports."""
    if call.method == "POST" and not _is_genuine(call):
        return _CSRF_FAILED
    if call.path == _HOME:
        return _home(call)
    if not _has_agreed(call):
        return _redirect(_HOME)
    if call.path == "/search/":
        return _page("eFD: Find Reports", f"{_FORM}<h1>Find Reports</h1></form>")
    if call.path == "/search/report/data/" and call.method == "POST":
        return _data(present, call)
    if found := _REPORT.fullmatch(call.path):
        return _view(present, found[1])
    return Answer(b"<h1>Not Found</h1>", 404)


def _cookies(call: Call) -> dict[str, str]:
    try:
        jar = SimpleCookie(call.headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def _is_genuine(call: Call) -> bool:
    brought = call.form.get("csrfmiddlewaretoken") or call.headers.get("x-csrftoken")
    referer = call.headers.get("referer", "")
    return brought == _TOKEN == _cookies(call).get("csrftoken") and referer.startswith(f"https://{HOST}/")


def _has_agreed(call: Call) -> bool:
    return _cookies(call).get("sessionid") == _SESSION


def _home(call: Call) -> Answer:
    if call.method == "POST" and call.form.get("prohibition_agreement") == "1":
        return _redirect("/search/", f"sessionid={_SESSION}; HttpOnly; Path=/; Secure")
    box = '<input type="checkbox" name="prohibition_agreement" value="1" id="agree_statement">'
    return _page("eFD: Home", f"{_FORM}{box}<p>I understand the prohibitions on obtaining reports.</p></form>")


def _redirect(path: str, *cookies: str) -> Answer:
    headers = {"Location": path} | ({"Set-Cookie": "\n".join(cookies)} if cookies else {})
    return Answer(b"", 302, headers=headers)


def _page(title: str, content: str) -> Answer:
    text = f'<!DOCTYPE html><html lang="en"><head><title>{title}</title></head><body>{content}</body></html>'
    return Answer(text.encode(), headers={"Set-Cookie": _CSRF_COOKIE} if _FORM in content else {})


def _data(present: Present, call: Call) -> Answer:
    """A page of the search, the newest report first."""
    form = call.form
    first, last = (_moment(form.get(f"submitted_{end}_date", "")) for end in ("start", "end"))
    found = [
        report
        for report in reversed(filed(present, "senate"))
        if (first is None or report.filed >= first.date()) and (last is None or report.filed <= last.date())
    ]
    if form.get("report_types") != "[11]":
        found = []  # nothing else is in the sandbox
    start, length = _number(form.get("start", "0")), min(_number(form.get("length", "0")) or _MOST, _MOST)
    rows = [_listed(report) for report in found[start : start + length]]
    counts = {"draw": _number(form.get("draw", "0")), "recordsTotal": len(found), "recordsFiltered": len(found)}
    return json_answer({**counts, "data": rows, "result": "ok"})


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%m/%d/%Y %H:%M:%S")  # noqa: DTZ007  (only its day counts)
    except ValueError:
        return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _listed(report: Report) -> list[str]:
    link = f'<a href="/search/view/ptr/{report.filing_id}/" target="_blank">{_title(report)}</a>'
    office = f"{report.last}, {report.first} (Senator)"
    return [report.first, report.last, office, link, f"{report.filed:%m/%d/%Y}"]


def _title(report: Report) -> str:
    return f"Periodic Transaction Report for {report.filed:%m/%d/%Y}"


def _view(present: Present, number: str) -> Answer:
    report = reports(present.world, "senate").get(number)
    if report is None or report.filed_at > present.now:
        return Answer(b"<h1>Not Found</h1>", 404)
    at = report.filed_at
    stamp = f"{at:%m/%d/%Y} @ {at.hour % 12 or 12}:{at:%M %p}"
    total = len(report.lines)
    heads = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    rows = "".join(_row(line) for line in reversed(report.lines))  # the newest line stands first
    return _page(
        "eFD: Print Periodic Transaction Report",
        f'<h1 class="mb-2">\n {_title(report)}\n</h1>'
        f'<h2 class="filedReport">The Honorable {escape(report.first)}\n {escape(report.last)}</h2>'
        f'<p class="muted"><strong class="noWrap"><i class="fa fa-folder"></i> Filed  {stamp}</strong></p>'
        f"<ul><li>({total} transaction{'s' * (total != 1)} total)</li></ul>"
        f'<table class="table table-striped"><caption>List of transactions added to this report</caption>'
        f'<thead><tr class="header">{heads}</tr></thead><tbody>{rows}</tbody></table>',
    )


def _row(line: dict[str, Any]) -> str:
    symbol = line["symbol"]
    link = f'\n <a href="https://finance.yahoo.com/q?s={symbol}" target="_blank">{symbol}</a>\n ' if symbol else "--"
    cells: Sequence[str] = (
        str(line["line"]),
        f"\n {line['event_date']:%m/%d/%Y}\n ",
        _OWNERS[line["owner"]],
        link,
        f"\n {escape(line['asset_description'])}\n ",
        _TYPES[line["asset_type"]],
        _DIRECTIONS[line["direction"], line["extent"]],
        f"${line['amount_low']:,.0f} - ${line['amount_high']:,.0f}",
        "--",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


SITE = Site(hosts=(HOST,), answer=answer, limit=(1, 2.0))
