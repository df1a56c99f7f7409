"""Where a request may go: only to hosts that the source names, over TLS, never into a private network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from pas_dagster.sources.source import SourceError

Resolve = Callable[[str], Collection[str]]


def addresses(host: str) -> Collection[str]:
    """The addresses of a host by the system's resolver. Raises `OSError` when there are none."""
    return {str(info[4][0]) for info in socket.getaddrinfo(host, 443, proto=socket.IPPROTO_TCP)}


@dataclass(frozen=True)
class Route:
    """Where a request really goes. `chosen` says that a setting sent it there."""

    url: str
    chosen: bool


@dataclass(frozen=True)
class Guard:
    """`base_urls` of the settings: host -> base address to use instead (a sandbox, a mirror, a successor site).

    The base `*` takes every host, its name as the first part of the path. A base that settings name may be private:
    that is how a sandbox on this machine is reached.
    """

    base_urls: Mapping[str, str] = field(default_factory=dict)
    resolve: Resolve = addresses

    def route(self, url: str, allowed: Collection[str]) -> Route:
        """The address to use for `url`. Raises `SourceError` when the host is not among `allowed`, or not public."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if host not in allowed:
            raise SourceError(f"{host or url} is not one of the hosts this source may talk to ({', '.join(allowed)})")
        where = self.rewritten(url)
        if where is not None:
            return Route(where, chosen=True)
        if parts.scheme != "https" or parts.port not in (None, 443):
            raise SourceError(f"{host} is asked over TLS on its usual port only, not as {parts.scheme}")
        self._require_public(host)
        return Route(url, chosen=False)

    def rewritten(self, url: str) -> str | None:
        """Where settings send the address; None where they say nothing of its host."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        tail = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if host in self.base_urls:
            return self.base_urls[host].rstrip("/") + tail
        if "*" in self.base_urls:
            return f"{self.base_urls['*'].rstrip('/')}/{quote(host)}{tail}"
        return None

    def _require_public(self, host: str) -> None:
        private = [a for a in self.resolve(host) if not _is_public(a)]
        if private:
            raise SourceError(f"{host} resolves to {private[0]}, which is not a public address; nothing was sent")


_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def _is_public(address: str) -> bool:
    """Whether an address, and the IPv4 address that it may carry, is global."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global
    return found.is_global
