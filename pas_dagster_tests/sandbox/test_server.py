"""The sandbox's server: hosts by path, days of the past, limits, and faults that are what they say."""

from __future__ import annotations

import gzip
import json
import socket
import zipfile
from datetime import UTC, date, datetime
from io import BytesIO

import pytest
import requests

from pas_dagster.sandbox.faults import Fault, Weather, parse, spoil
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.sites.site import Answer, Call, Present
from pas_dagster.sandbox.tape import Player, Recorder
from pas_dagster.sandbox.world import World

WORLD = World(7, date(2026, 1, 2), date(2026, 1, 30))
NOW = datetime(2026, 1, 30, 20, tzinfo=UTC)


def echo(present: Present, call: Call) -> Answer:
    return Answer(f"{call.host}|{call.path}|{call.raw_path}|{call.query}|{call.form}|{present.today}".encode())


def asked(path: str, **kwargs) -> str:
    with serving(Sandbox(WORLD, now=lambda: NOW, site=echo)) as url:
        return requests.request(kwargs.pop("method", "GET"), f"{url}/{path}", timeout=5, **kwargs).text


def test_a_host_is_the_first_part_of_the_path() -> None:
    assert asked("wikimedia.org/a/AC%2FDC?x=1") == "wikimedia.org|/a/AC/DC|/a/AC%2FDC|{'x': '1'}|{}|2026-01-30"


def test_a_day_in_front_shows_its_evening() -> None:
    assert asked("@2026-01-12/apewisdom.io/") == "apewisdom.io|/|/|{}|{}|2026-01-12"


def test_a_minute_in_front_shows_that_minute() -> None:
    assert asked("@2026-01-12T03:30Z/apewisdom.io/x") == "apewisdom.io|/x|/x|{}|{}|2026-01-11"


def test_forms_arrive() -> None:
    assert "{'a': '1'}" in asked("example.org/x", method="POST", data={"a": "1"})


def test_what_names_no_host_is_not_found() -> None:
    assert asked("favicon") == "the first part of the path is the host\n"


def test_nothing_is_shown_before_its_day() -> None:
    early = Present(WORLD, datetime(2026, 1, 12, 20, tzinfo=UTC)).table("prices")
    assert str(early["known_on"].max().date()) == "2026-01-12"


def test_limits_refuse_whoever_is_faster() -> None:
    with serving(Sandbox(WORLD, limited=True, site=echo)) as url:
        statuses = [requests.get(f"{url}/efdsearch.senate.gov/", timeout=5).status_code for _ in range(3)]
    assert statuses[0] == 200
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    ("text", "weather"),
    [
        ("finviz.com=500", Weather(Fault.SERVER_ERROR, "finviz.com")),
        ("*/Archives/*=truncated*3", Weather(Fault.TRUNCATED, "*", "/Archives/*", 3)),
    ],
)
def test_faults_are_spelt_with_host_path_and_number(text: str, weather: Weather) -> None:
    assert parse(text) == weather


def test_weather_strikes_where_and_as_often_as_it_says() -> None:
    weather = Weather(Fault.SERVER_ERROR, "a.org", "/x*", times=2, skip=1)
    asked = [("b.org", "/x"), ("a.org", "/y"), ("a.org", "/x1"), ("a.org", "/x2"), ("a.org", "/x3"), ("a.org", "/x4")]
    assert [weather.strikes(*call) for call in asked] == [False, False, False, True, True, False]


ROWS = {"rows": [{"day": "2026-01-05", "views": 7, "text": "1,001"}, {"day": "2026-01-06", "views": 8, "text": "x"}]}
JSON = Answer(json.dumps(ROWS).encode(), type="application/json")
HTML = Answer(
    b"<html><table id='t'><tr><th>Ticker</th></tr><tr><td>$1,001</td></tr><tr><td>Jan 5, 2026</td></tr></table>"
    b"<script>let data = [[1], ['a']];</script></html>"
)
CSV = Answer(b"Symbol,Amount\nAAPL,2026-01-05\nMSFT,3.5\n")
XML = Answer(b"<?xml version='1.0'?><Disclosure><Member><Year>2026</Year></Member></Disclosure>")


def zipped(content: bytes) -> Answer:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", content)
    return Answer(out.getvalue(), type="application/zip")


@pytest.mark.parametrize(
    ("fault", "answer", "inside", "gone"),
    [
        (Fault.EMPTY_TABLE, JSON, b'"rows": []', b"views"),
        (Fault.EMPTY_TABLE, HTML, b"let data = [];", b"1,001"),
        (Fault.EMPTY_TABLE, CSV, b"Symbol,Amount", b"AAPL"),
        (Fault.EMPTY_TABLE, XML, b"<Disclosure></Disclosure>", b"Member"),
        (Fault.RENAMED, JSON, b"views_v2", b'"views"'),
        (Fault.RENAMED, HTML, b"let dataV2", b"let data "),
        (Fault.RENAMED, CSV, b"SymbolV2,AmountV2", b"Symbol,"),
        (Fault.RENAMED, XML, b"<MemberV2>", b"<Member>"),
        (Fault.WRONG_TYPES, JSON, b'"views": "n.a."', b"1,001"),
        (Fault.WRONG_TYPES, HTML, b"n.a.", b"1,001"),
        (Fault.WRONG_TYPES, CSV, b"MSFT,n.a.", b"3.5"),
        (Fault.DUPLICATED, HTML, b"<tr><td>$1,001</td></tr><tr><td>$1,001</td></tr>", b"??"),
        (Fault.DUPLICATED, CSV, b"MSFT,3.5\nMSFT,3.5\n", b"??"),
        (Fault.SKEWED_DATES, JSON, b"2030-01-05", b"2026"),
        (Fault.SKEWED_DATES, HTML, b"Jan 5, 2030", b"2026"),
        (Fault.SKEWED_DATES, CSV, b"2030-01-05", b"2026"),
    ],
)
def test_faults_of_the_content_keep_the_format(fault: Fault, answer: Answer, inside: bytes, gone: bytes) -> None:
    body = spoil(fault, answer).body
    assert inside in body
    assert gone not in body


def test_what_is_zipped_is_spoilt_inside() -> None:
    body = spoil(Fault.RENAMED, zipped(CSV.body)).body
    assert zipfile.ZipFile(BytesIO(body)).read("a.csv").startswith(b"SymbolV2")


def test_a_bomb_unfolds_to_more_than_anybody_takes() -> None:
    body = spoil(Fault.GZIP_BOMB, JSON).body
    assert len(body) < 1 << 20
    assert len(gzip.decompress(body)) > 128 << 20


def _raw(url: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET /a.org/x HTTP/1.1\r\nHost: a\r\n\r\n")
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
        return found


def test_a_truncated_body_ends_before_its_length() -> None:
    sandbox = Sandbox(WORLD, site=lambda *_: Answer(b"x" * 1000), weather=[Weather(Fault.TRUNCATED)])
    with serving(sandbox) as url:
        head, _, body = _raw(url).partition(b"\r\n\r\n")
    assert b"Content-Length: 1000" in head
    assert len(body) == 500


def test_a_reset_is_a_reset() -> None:
    sandbox = Sandbox(WORLD, site=echo, weather=[Weather(Fault.RESET)])
    with serving(sandbox) as url, pytest.raises(ConnectionResetError):
        _raw(url)


def test_a_tape_answers_as_recorded_in_order(tmp_path) -> None:
    recorder = Recorder(tmp_path)
    for content in (b"first", b"second"):
        recorder.write("GET", "https://a.org/x?y=1", None, 200, {"Content-Type": "text/plain"}, content)
    recorder.write("POST", "https://a.org/x", b"q", 404, {"Retry-After": "3"}, b"none")
    with serving(Sandbox(WORLD, tape=Player(tmp_path))) as url:
        assert [requests.get(f"{url}/a.org/x?y=1", timeout=5).text for _ in range(3)] == ["first", "second", "second"]
        answer = requests.post(f"{url}/a.org/x", data=b"q", timeout=5)
        assert (answer.status_code, answer.headers["Retry-After"], answer.text) == (404, "3", "none")
        assert requests.get(f"{url}/a.org/never", timeout=5).status_code == 404
