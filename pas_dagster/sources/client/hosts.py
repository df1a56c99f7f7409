"""What each host permits: documented rates, how many connections, how large an answer can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Host:
    """`requests` per `seconds` are permitted over at most `connections`; an answer has at most `max_bytes`.

    `read_timeout` is the longest silence, `deadline` the longest whole answer, seconds. `browser` says that the host
    turns away everything that does not shake hands like a browser. `contact` says that it demands one in User-Agent.
    `cookies_only`: it is asked for its cookies, whatever else it answers.
    """

    requests: int = 1
    seconds: float = 1.1
    connections: int = 1
    max_bytes: int = 32 * MEGABYTE
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    deadline: float = 120.0
    browser: bool = False
    contact: bool = False
    cookies_only: bool = False

    @property
    def interval(self) -> float:
        """Seconds between two requests at the permitted rate."""
        return self.seconds / self.requests

    def within(self, seconds: float) -> Host:
        """The same host, with no wait for an answer longer than `seconds`."""
        return replace(
            self,
            connect_timeout=min(self.connect_timeout, seconds),
            read_timeout=min(self.read_timeout, seconds),
            deadline=min(self.deadline, seconds),
        )


UNKNOWN = Host()
"""A host without a published limit: a request a second, one at a time."""

HOSTS: Mapping[str, Host] = {
    # https://www.sec.gov/os/accessing-edgar-data: 10 requests a second, with a contact
    "www.sec.gov": Host(10, 1, connections=4, max_bytes=128 * MEGABYTE, contact=True),
    "data.sec.gov": Host(10, 1, connections=4, contact=True),
    # https://www.mediawiki.org/wiki/Wikimedia_APIs/Rate_limits: 200 a minute with a good agent, three at a time
    "wikimedia.org": Host(200, 60, connections=3, contact=True),
    "en.wikipedia.org": Host(200, 60, connections=3, contact=True),
    # https://lda.senate.gov/api/redoc/v1/: 15 a minute anonymous (120 with a key; settings raise it)
    "lda.senate.gov": Host(15, 60),
    "lda.gov": Host(15, 60),
    "api.usaspending.gov": Host(4, 1, connections=2, read_timeout=60),
    "disclosures-clerk.house.gov": Host(4, 1, connections=2),
    "efdsearch.senate.gov": Host(1, 2),
    "unitedstates.github.io": Host(2, 1),
    "www.quiverquant.com": Host(1, 1.1),
    "api.quiverquant.com": Host(10, 60, max_bytes=128 * MEGABYTE),
    "data.alpaca.markets": Host(200, 60, connections=4),
    "paper-api.alpaca.markets": Host(200, 60, connections=2),
    "query1.finance.yahoo.com": Host(2, 1, connections=4, browser=True),
    "query2.finance.yahoo.com": Host(2, 1, connections=4, browser=True),
    "fc.yahoo.com": Host(1, 1, browser=True, cookies_only=True),
    "finviz.com": Host(10, 60),
    "apewisdom.io": Host(1, 1),
    "www.reddit.com": Host(100, 60),
    "oauth.reddit.com": Host(100, 60),
    "trends.google.com": Host(5, 60),
    "itunes.apple.com": Host(20, 60),
    "fred.stlouisfed.org": Host(2, 1),
    "mba.tuck.dartmouth.edu": Host(1, 1),
    "datahub.io": Host(1, 1),
    "www.ishares.com": Host(1, 1),
    "clinicaltrials.gov": Host(50, 60),
    "api.fda.gov": Host(240, 60),
}


def known(host: str) -> Host:
    """What `host` permits."""
    return HOSTS.get(host, UNKNOWN)


def unhurried(host: Host) -> Host:
    """The same host without a limit: a sandbox on this machine has nobody to spare."""
    return replace(host, requests=1_000_000, seconds=1.0, connections=max(4, host.connections))
