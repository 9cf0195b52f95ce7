"""Where hooks may lead: https anywhere on the open internet, this machine, and our own network only if allowed."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bot.errors import BotError

TIMEOUT = urllib3.Timeout(connect=5, read=10)
URL_MAX = 2000
LOCAL = {"localhost", "127.0.0.1", "::1"}


class BadUrl(BotError):
    """A hook can't be called at this address."""


class Forbidden(OSError):
    """The name of a hook leads to an address inside our own network."""


def require_url(url: str, *, private: bool) -> None:
    """Refuse what must not be called: no https, except on this machine; addresses inside our network, unless allowed.

    A name may lead elsewhere tomorrow, so where it leads is looked at again with every call.
    """
    try:
        found = urlsplit(url)
        host, port = found.hostname or "", found.port
    except ValueError:
        host, port = "", None
    if not host or len(url) > URL_MAX or not url.isascii() or any(sign <= " " for sign in url) or port == 0:
        raise BadUrl('(it must be like "https://example.org/baton")')
    if found.username is not None or found.fragment:
        raise BadUrl("(without a name, a password or a #part)")
    if found.scheme != "https" and not (found.scheme == "http" and (host in LOCAL or private)):
        raise BadUrl("(https, please; http only on this machine)")
    if _is_address(host) and host not in LOCAL and _is_inside(host) and not private:
        raise BadUrl("(that is inside our own network; BATON_HOOKS_PRIVATE=yes allows it)")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_inside(address: str) -> bool:
    """Say whether an address is not one of the open internet's."""
    found = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return not (mapped or found).is_global or (mapped or found).is_multicast


class _Looks:
    """A connection that looks where it has arrived before it says a word: a name may lead anywhere, at any time."""

    private = False

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        address = str(sock.getpeername()[0])
        named_so = getattr(self, "host", "") in LOCAL
        if _is_inside(address) and not self.private and not (named_so and ipaddress.ip_address(address).is_loopback):
            sock.close()
            raise Forbidden("it leads to an address inside our own network; BATON_HOOKS_PRIVATE=yes allows it")
        return sock


class _Http(_Looks, HTTPConnection):
    """Without TLS, on this machine."""


class _Https(_Looks, HTTPSConnection):
    """With TLS."""


class _PrivateHttp(_Http):
    """The same, where our own network is meant."""

    private = True


class _PrivateHttps(_Https):
    """The same, where our own network is meant."""

    private = True


def pools(count: int, *, private: bool) -> urllib3.PoolManager:
    """Return what carries calls, and goes nowhere it should not."""

    class Http(HTTPConnectionPool):
        """Its connections look first."""

        ConnectionCls = _PrivateHttp if private else _Http

    class Https(HTTPSConnectionPool):
        """Its connections look first."""

        ConnectionCls = _PrivateHttps if private else _Https

    manager = urllib3.PoolManager(num_pools=count, timeout=TIMEOUT, retries=False)
    manager.pool_classes_by_scheme = {"http": Http, "https": Https}
    return manager
