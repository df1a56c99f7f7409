"""The client against a real server on this machine that misbehaves in every way the sandbox knows."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from pas_dagster.sandbox.faults import Fault, Weather, spoil
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.sites.site import Answer, Call, Present
from pas_dagster.sandbox.world import World
from pas_dagster.sources.client import Client, Guard, Traffic
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import Query, Reading, Source, SourceError, Walk
from pas_dagster_tests.sources.client.clocks import START, FakeClock

WORLD = World(7, date(2026, 1, 2), date(2026, 1, 9))
QUERY = Query(date(2026, 1, 5), date(2026, 1, 5), START)
BODY = b'{"rows": [1, 2, 3]}'


def source(*requests: Request, hosts: tuple[str, ...] = ("example.org",)) -> Source:
    def walk(_: Query) -> Walk:
        yield list(requests)

    return Source("example", "prices", "Example", hosts, lambda pages, query: Reading(None, None), walk=walk)  # ty: ignore


def plain(_: Present, call: Call) -> Answer:
    return Answer(BODY, type="application/json")


@contextmanager
def visiting(tmp_path: Path, site: Callable[[Present, Call], Answer] = plain, **options) -> Iterator[tuple]:
    sandbox = Sandbox(WORLD, site=site)
    with serving(sandbox) as url:
        ways = {name: options.pop(name, None) for name in ("contact", "hurried")}
        traffic = Traffic(
            Guard({"*": url}), FakeClock(), contact=ways["contact"], hurried=bool(ways["hurried"]), longest=0.3
        )
        client = Client(RawStore(tmp_path / "raw"), traffic, **options)
        yield client, sandbox


def one(client: Client, **kwargs) -> Page:
    return client.pages(source(Request("https://example.org/a", **kwargs)), QUERY)[0]


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.THROTTLED_SILENTLY, Fault.SERVER_ERROR, Fault.UNAVAILABLE])
@pytest.mark.parametrize("times", [1, 3])
def test_a_passing_fault_costs_time_only(tmp_path: Path, fault: Fault, times: int) -> None:
    with visiting(tmp_path) as (client, sandbox):
        sandbox.weather.append(Weather(fault, times=times))
        assert one(client).content == BODY
        assert client.clock.slept > 0


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.RESET, Fault.STALLED, Fault.SLOW_BODY])
def test_a_broken_connection_is_tried_again(tmp_path: Path, fault: Fault) -> None:
    with visiting(tmp_path) as (client, sandbox):
        sandbox.weather.append(Weather(fault, times=1))
        assert one(client).content == BODY


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.THROTTLED, "answered 429 (4 attempts)"),
        (Fault.THROTTLED_LONG, "asks to wait 3,600 s"),
        (Fault.CHALLENGE, "challenge page"),
        (Fault.SERVER_ERROR, "answered 500 (4 attempts)"),
        (Fault.UNAVAILABLE, "answered 503"),
        (Fault.TRUNCATED, "cut short"),
        (Fault.RESET, "the connection failed"),
        (Fault.STALLED, "no answer within 0.3 s"),
        (Fault.OTHER_HOST, "169.254.169.254 is not one of the hosts"),
        (Fault.GZIP_BOMB, "larger than 33,554,432 bytes"),
        (Fault.OVERSIZED, "larger than 33,554,432 bytes"),
    ],
)
def test_a_lasting_fault_is_one_sentence_with_source_address_and_rule(tmp_path: Path, fault: Fault, words: str) -> None:
    spoil(fault, Answer(b""))  # the bomb is packed once, which takes longer than the client waits here
    with visiting(tmp_path) as (client, sandbox):
        sandbox.weather.append(Weather(fault))
        with pytest.raises(SourceError) as caught:
            one(client)
        assert words in str(caught.value)
        assert "Example at http" in str(caught.value)
        sandbox.weather.clear()
        assert one(client).content == BODY


def test_a_body_that_drips_ends_at_its_deadline(tmp_path: Path) -> None:
    with visiting(tmp_path, lambda *_: Answer(b"x" * 100_000)) as (client, sandbox):
        sandbox.weather.append(Weather(Fault.SLOW_BODY))
        client.clock.monotonic = time.monotonic  # the drip takes real time
        began = time.monotonic()
        with pytest.raises(SourceError, match="did not end in the time allowed"):
            one(client)
        assert time.monotonic() - began < 10


def test_a_post_that_changes_something_is_sent_once(tmp_path: Path) -> None:
    with visiting(tmp_path) as (client, sandbox):
        sandbox.weather.append(Weather(Fault.SERVER_ERROR))
        with pytest.raises(SourceError, match="answered 500\\."):
            one(client, method="POST", form={"a": "1"})
        assert sandbox.served == 1


def test_a_post_that_only_reads_is_sent_again(tmp_path: Path) -> None:
    with visiting(tmp_path) as (client, sandbox):
        sandbox.weather.append(Weather(Fault.SERVER_ERROR, times=2))
        assert one(client, method="POST", json={"a": 1}, reads_only=True).content == BODY
        assert sandbox.served == 3


def test_an_answer_that_is_no_answer_is_named_and_kept(tmp_path: Path) -> None:
    with visiting(tmp_path, lambda *_: Answer(b"gone fishing", 410)) as (client, _):
        with pytest.raises(SourceError, match="it answered 410. Saved copy: ") as caught:
            one(client)
        assert Path(str(caught.value).rpartition(": ")[2].rstrip(".")).read_bytes() == b"gone fishing"
        assert one(client, answers=frozenset({410})).status == 410


def test_packed_bodies_arrive_whole(tmp_path: Path) -> None:
    packed = gzip.compress(BODY * 5000)
    with visiting(tmp_path, lambda *_: Answer(packed, headers={"Content-Encoding": "gzip"})) as (client, _):
        assert one(client).content == BODY * 5000


def test_a_packed_body_cut_short_is_no_body(tmp_path: Path) -> None:
    packed = gzip.compress(BODY * 5000)[:-20]
    with (
        visiting(tmp_path, lambda *_: Answer(packed, headers={"Content-Encoding": "gzip"})) as (client, _),
        pytest.raises(SourceError, match="cut short"),
    ):
        one(client)


def test_bytes_after_the_packed_body_are_no_part_of_it(tmp_path: Path) -> None:
    packed = gzip.compress(BODY) + gzip.compress(b"more")
    with (
        visiting(tmp_path, lambda *_: Answer(packed, headers={"Content-Encoding": "gzip"})) as (client, _),
        pytest.raises(SourceError, match="goes on after its end"),
    ):
        one(client)


def test_credentials_are_added_and_never_kept(tmp_path: Path) -> None:
    seen = []

    def site(_: Present, call: Call) -> Answer:
        seen.append(call.headers.get("authorization"))
        return Answer(b"no", 403)

    with visiting(tmp_path, site, credentials={"quiver_api": {"Authorization": "Bearer s3cret"}}) as (client, _):
        with pytest.raises(SourceError) as caught:
            one(client, auth="quiver_api")
        assert seen == ["Bearer s3cret"]
        assert "s3cret" not in str(caught.value)
        assert all(b"s3cret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_cookies_and_redirects_within_the_allowed_hosts_work(tmp_path: Path) -> None:
    def site(_: Present, call: Call) -> Answer:
        if call.path == "/a":
            return Answer(b"", 302, headers={"Location": "https://www.example.org/b", "Set-Cookie": "seen=1; Path=/"})
        return Answer(call.host.encode())

    with visiting(tmp_path, site) as (client, _):
        asked = source(Request("https://example.org/a"), hosts=("example.org", "www.example.org"))
        page = client.pages(asked, QUERY)[0]
        assert (page.url, page.content) == ("https://www.example.org/b", b"www.example.org")


def test_redirects_in_circles_end(tmp_path: Path) -> None:
    circle = Answer(b"", 302, headers={"Location": "https://example.org/a"})
    with visiting(tmp_path, lambda *_: circle) as (client, _), pytest.raises(SourceError, match="in circles"):
        one(client)


def test_the_contact_is_demanded_where_the_host_insists(tmp_path: Path) -> None:
    asked = source(Request("https://www.sec.gov/x"), hosts=("www.sec.gov",))
    with visiting(tmp_path) as (client, sandbox):
        with pytest.raises(SourceError, match="PAS_CONTACT"):
            client.pages(asked, QUERY)
        assert sandbox.served == 0
    with visiting(tmp_path, contact="Ann Other ann@example.org") as (client, _):
        assert client.pages(asked, QUERY)[0].content == BODY


def test_an_answer_is_used_again_for_a_while_and_then_only_if_it_still_holds(tmp_path: Path) -> None:
    def site(_: Present, call: Call) -> Answer:
        if call.headers.get("if-none-match") == '"v1"':
            return Answer(b"", 304)
        return Answer(BODY, headers={"ETag": '"v1"'})

    options = {"cache_folder": tmp_path / "cache", "cache_for": timedelta(minutes=15)}
    with visiting(tmp_path, site, **options) as (client, sandbox):
        first = one(client)
        assert one(client).fetched_at == first.fetched_at
        assert sandbox.served == 1
        client.clock.sleep(3600)
        again = one(client)
        assert sandbox.served == 2
        assert (again.content, again.fetched_at) == (BODY, client.clock.now())


def test_an_answer_of_before_the_end_of_the_window_is_asked_for_again(tmp_path: Path) -> None:
    options = {"cache_folder": tmp_path / "cache", "cache_for": timedelta(days=1)}
    today = Query(START.date(), START.date(), START)
    with visiting(tmp_path, plain, **options) as (client, sandbox):
        asked = replace(source(Request("https://example.org/a")), since=date(2020, 1, 1))
        client.pages(asked, QUERY)
        client.pages(asked, today)  # the day is not over, so what was fetched does not tell of all of it
        assert sandbox.served == 2


def test_a_name_that_does_not_resolve_is_a_sentence_also_with_a_cache(tmp_path: Path) -> None:
    def lost(_: str) -> list[str]:
        raise OSError("Temporary failure in name resolution")

    traffic = Traffic(Guard(resolve=lost), FakeClock(), contact=None)
    client = Client(RawStore(tmp_path / "raw"), traffic, cache_folder=tmp_path / "cache")
    with pytest.raises(SourceError, match="has no address"):
        one(client)


@pytest.mark.parametrize("wait", ["²", "soon", "-5", ""])
def test_a_retry_after_that_says_nothing_is_no_wait(tmp_path: Path, wait: str) -> None:
    answers = [Answer(b"", 429, headers={"Retry-After": wait.encode().decode("latin-1")}), Answer(BODY)]
    with visiting(tmp_path, lambda *_: answers.pop(0)) as (client, _):
        assert one(client).content == BODY


def test_a_confirmed_answer_without_a_body_is_the_kept_one_even_if_it_claims_to_be_packed(tmp_path: Path) -> None:
    def site(_: Present, call: Call) -> Answer:
        if "if-none-match" in call.headers:
            return Answer(b"", 304, headers={"Content-Encoding": "gzip"})
        return Answer(BODY, headers={"ETag": '"v1"'})

    with visiting(tmp_path, site, cache_folder=tmp_path / "cache") as (client, _):
        one(client)
        client.clock.sleep(3600)
        assert one(client).content == BODY


def test_requests_run_side_by_side_in_order(tmp_path: Path) -> None:
    asked = source(*(Request(f"https://data.sec.gov/{n}") for n in range(40)), hosts=("data.sec.gov",))
    with visiting(tmp_path, lambda _, call: Answer(call.path.encode()), contact="x", hurried=True) as (client, _):
        assert [page.content for page in client.pages(asked, QUERY)] == [f"/{n}".encode() for n in range(40)]


def test_the_first_failure_ends_a_round(tmp_path: Path) -> None:
    def site(_: Present, call: Call) -> Answer:
        return Answer(b"", 410 if call.path == "/3" else 200)

    asked = source(*(Request(f"https://data.sec.gov/{n}") for n in range(500)), hosts=("data.sec.gov",))
    with visiting(tmp_path, site, contact="x", hurried=True) as (client, sandbox):
        with pytest.raises(SourceError, match="it answered 410"):
            client.pages(asked, QUERY)
        assert sandbox.served < 500
