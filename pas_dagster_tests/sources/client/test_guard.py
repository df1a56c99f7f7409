"""Requests go where the source says, over TLS, never into a private network."""

from __future__ import annotations

import pytest

from pas_dagster.sources.client.guard import Guard
from pas_dagster.sources.source import SourceError

ALLOWED = ("example.org",)


@pytest.mark.parametrize(
    ("url", "addresses", "words"),
    [
        ("https://evil.example/x", ["93.184.216.34"], "not one of the hosts"),
        ("http://example.org/x", ["93.184.216.34"], "over TLS"),
        ("https://example.org:8443/x", ["93.184.216.34"], "usual port"),
        ("https://example.org/x", ["127.0.0.1"], "not a public address"),
        ("https://example.org/x", ["93.184.216.34", "10.0.0.7"], "10.0.0.7"),
        ("https://example.org/x", ["169.254.169.254"], "not a public address"),
        ("https://example.org/x", ["::1"], "not a public address"),
        ("https://example.org/x", ["fe80::1%eth0"], "not a public address"),
        ("https://example.org@evil.example/x", ["93.184.216.34"], "evil.example is not one"),
        ("file:///etc/passwd", [], "not one of the hosts"),
    ],
)
def test_what_leads_elsewhere_is_refused(url: str, addresses: list[str], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        Guard(resolve=lambda host: addresses).route(url, ALLOWED)


def test_a_public_host_is_asked_as_it_is() -> None:
    route = Guard(resolve=lambda host: ["93.184.216.34"]).route("https://example.org/a?b=c", ALLOWED)
    assert (route.url, route.chosen) == ("https://example.org/a?b=c", False)


def test_settings_send_a_host_elsewhere_even_to_this_machine() -> None:
    guard = Guard({"example.org": "http://127.0.0.1:9/base/"})
    assert guard.route("https://example.org/a%2Fb?c=d", ALLOWED).url == "http://127.0.0.1:9/base/a%2Fb?c=d"


def test_the_sandbox_takes_every_host_under_its_name() -> None:
    assert (
        Guard({"*": "http://127.0.0.1:9"}).route("https://example.org/", ALLOWED).url
        == "http://127.0.0.1:9/example.org/"
    )
    with pytest.raises(SourceError, match="not one of the hosts"):
        Guard({"*": "http://127.0.0.1:9"}).route("https://other.org/", ALLOWED)
