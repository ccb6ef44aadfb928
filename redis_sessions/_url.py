"""Split the URL of a server into its parts. Text that another client would ignore is refused.

No message shows a secret. Of a URL that is not well formed nothing is shown but schemes and options that are known, because a
part of a password may stand anywhere in it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from .errors import InvalidInput

SCHEMES = (
    "redis://, valkey://, redis+sentinel://host:port,host:port/service, redis+cluster://host:port,host:port,"
    " unix:///path, embedded://[path], fake:// (rediss://, valkeys://, rediss+sentinel:// and rediss+cluster:// with TLS)"
)
Address = tuple[str, int]
Kind = Literal["single", "sentinel", "cluster", "unix", "embedded", "fake"]
MAX_DATABASE = 2**31 - 1
SECRETS = re.compile("password|ssl_ca_data|username")
"""The options whose values are not shown."""
_SERVER_SCHEME = re.compile(r"(?:redis|valkey)(s?)(?:\+(sentinel|cluster))?")
_OTHER_SCHEMES = frozenset(["http", "https", "tcp", "tls", "ssl", "file", "memory", "redis-sentinel", "redis-socket"])
"""Schemes that are taken for one of ours."""
_LOCAL_SCHEMES: tuple[Kind, ...] = ("unix", "embedded", "fake")
_DEFAULT_PORTS: dict[Kind, int] = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]/?#@%]+)(?::(.*))?")
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w{0,40}", re.ASCII)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODE = "write %2F for '/', %3F for '?', %23 for '#', %40 for '@' and %25 for '%' in a user name or password"


@dataclass(frozen=True)
class Url:
    """The parts of a URL. Texts are decoded."""

    shown: str
    """The URL without secrets."""
    kind: Kind
    has_tls: bool
    username: str | None
    password: str | None
    hosts: tuple[Address, ...]
    service: str
    """The name of the Sentinel service, '' without Sentinel."""
    database: int | None
    """The database that the path names."""
    path: str
    """The path of the socket, or the folder of an embedded server."""
    query: dict[str, str]


def wrong_url(detail: str) -> InvalidInput:
    """Return the error of a URL."""
    return InvalidInput(name="url", detail=detail)


def may_hold_secret(url: str) -> bool:
    """Return whether a part of a URL may be a part of a password."""
    return "@" in url or SECRETS.search(url) is not None


def split_url(url: str) -> Url:
    """Return the parts of a URL. Raises InvalidInput."""
    if not isinstance(url, str):
        raise wrong_url(f"must be text, one of {SCHEMES}, got a {type(url).__name__}")
    if re.search(r"[\x00\ud800-\udfff]", url):
        raise wrong_url("must be valid Unicode text without NUL")
    scheme, found, rest = url.partition("://")
    scheme = scheme.lower()
    server = _SERVER_SCHEME.fullmatch(scheme)
    if not found or not (server or scheme in _LOCAL_SCHEMES):
        got = "an unknown scheme" if found else "text without a scheme"  # it may hold a password, so it is not shown
        if not url.strip():
            got = "no text"
        if found and scheme in _OTHER_SCHEMES:
            got = f"the scheme {scheme!r}"
        raise wrong_url(f"must be one of {SCHEMES}, got {got}")
    kind: Kind = _kind(scheme, server[2] if server else "")
    if kind == "embedded":
        if re.search(r":.*@", rest, re.DOTALL):
            raise wrong_url("must be embedded://PATH without a user and a password")
        folder, query = _split_query(rest)
        path = _decode(folder, "path")
        if path.startswith("~") or "\0" in path:
            raise wrong_url(
                "must have the whole path of a folder, without NUL: '~' is not expanded, write ./~ for that name"
            )
        return Url(_show(scheme, "", folder, query), kind, False, None, None, (), "", None, path, query)
    if re.search(r"[\s\x00-\x1f\x7f]", rest):
        raise wrong_url("must contain no white space and no control characters: write %20 for a space")
    if "#" in rest:
        raise wrong_url(f"must contain no '#': {_ENCODE}")
    authority, tail = _split_authority(rest)
    if "@" in tail.partition("?")[0]:
        raise wrong_url(f"must contain no '@' in its path: {_ENCODE}")
    userinfo, at, hosts = authority.rpartition("@")
    path, query = _split_query(tail)
    if at and "@" in userinfo and "," in userinfo:
        raise wrong_url(f"must name one user and password, before the first host; {_ENCODE}")
    username, password = _split_userinfo(userinfo) if at else (None, None)
    shown_user = f"{username}:***@" if username and password else "***@" if at else ""
    shown = _show(scheme, shown_user + hosts, path, query)
    if kind in ("unix", "fake"):
        return Url(shown, kind, False, username, password, (), "", None, _local_path(kind, hosts, path), query)
    addresses = _addresses(hosts, kind)
    service, database = _service_and_database(kind, path)
    has_tls = bool(server and server[1])
    return Url(shown, kind, has_tls, username, password, addresses, service, database, "", query)


def _kind(scheme: str, many: str) -> Kind:
    kinds: dict[str, Kind] = {"sentinel": "sentinel", "cluster": "cluster"}
    for local in _LOCAL_SCHEMES:
        kinds[local] = local
    return kinds.get(many or scheme, "single")


def _show(scheme: str, authority: str, path: str, query: dict[str, str]) -> str:
    options = "&".join(f"{name}={'***' if SECRETS.search(name) else value}" for name, value in query.items())
    return f"{scheme}://{authority}{path}{'?' * bool(query)}{options}"


def _split_authority(rest: str) -> tuple[str, str]:
    end = re.search(r"[/?]", rest)
    return (rest[: end.start()], rest[end.start() :]) if end else (rest, "")


def _split_query(tail: str) -> tuple[str, dict[str, str]]:
    """Return what precedes the '?', and the options by name."""
    path, _, text = tail.partition("?")
    options: dict[str, str] = {}
    for part in text.split("&") if text else ():
        name, found, value = part.partition("=")
        if not found or not _NAME.fullmatch(name):
            raise wrong_url(
                "must have options of the form name=value after the '?', joined by '&': write %26 for '&' in a value; "
                + _ENCODE
            )
        if name in options:
            raise InvalidInput(name=name, detail="is given twice in the URL: give it once")
        if not value:
            raise InvalidInput(name=name, detail="has no value in the URL: write one, or leave the option out")
        if "+" in value:
            raise InvalidInput(name=name, detail="has a '+' in the URL, which can mean a space: write %2B or %20")
        options[name] = _decode(value, name)
    return path, options


def _decode(text: str, name: str) -> str:
    """Return text without percent encoding. Raises InvalidInput for text that is encoded wrongly."""
    if not _BROKEN_ESCAPE.search(text):
        try:
            return unquote(text, errors="strict")
        except UnicodeDecodeError:
            pass
    raise InvalidInput(
        name=name, detail="is not percent-encoded UTF-8 in the URL: write %25 for '%', and %XX for each byte"
    )


def _split_userinfo(userinfo: str) -> tuple[str | None, str | None]:
    username, colon, password = userinfo.partition(":")
    if not userinfo or (colon and not password):
        raise wrong_url("must have a password after 'user:', or neither ':' nor '@' before the host")
    decoded = _decode(username, "username"), _decode(password, "password")
    return decoded[0] or None, decoded[1] or None


def _local_path(kind: Kind, host: str, path: str) -> str:
    if kind == "fake":
        if host or path:
            raise wrong_url("must be fake:// without a host and a path, because each cache has its own store")
        return ""
    if host or not path.startswith("/") or path == "/":
        raise wrong_url("must have an absolute path of a socket, such as unix:///run/redis.sock")
    decoded = _decode(path, "url")
    if len(decoded.encode()) > 107:
        raise wrong_url("must have a path of at most 107 bytes, because a socket takes no longer one")
    return decoded


def _addresses(hosts: str, kind: Kind) -> tuple[Address, ...]:
    """Return the addresses of the hosts."""
    given = hosts.split(",")
    if kind == "single" and len(given) > 1:
        raise wrong_url("must have one host: for several use redis+sentinel:// or redis+cluster://")
    found: dict[Address, None] = {}
    for one in given:
        if not one:
            raise wrong_url(
                "must have a host in each place, such as localhost"
                + (": a comma stands at an end of the hosts, or twice" if len(given) > 1 else f"; {_ENCODE}")
            )
        match = _HOST.fullmatch(one)
        if not match or (not one.startswith("[") and one.count(":") > 1):
            raise wrong_url(
                f"must have hosts of the form host or host:port, and an IPv6 address in brackets; {_ENCODE}"
            )
        port = _port(match[2]) if match[2] is not None else _DEFAULT_PORTS[kind]
        address = (_host(match[1]), port)
        if any((host.lower(), at) == (address[0].lower(), port) for host, at in found):
            raise wrong_url("must name each host once")
        found[address] = None
    return tuple(found)


def _host(text: str) -> str:
    if not text.startswith("["):
        try:
            text.encode("idna")  # as each connection would
        except UnicodeError:
            raise wrong_url("must have hosts whose labels have 1 to 63 characters each") from None
        return text
    try:
        return str(ipaddress.IPv6Address(text[1:-1].replace("%25", "%", 1)))
    except ValueError:
        raise wrong_url("must have an IPv6 address in the brackets") from None


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65_535:
        raise wrong_url(f"must have a port from 1 to 65535 after a host's ':'; {_ENCODE}")
    return int(text)


def _service_and_database(kind: Kind, path: str) -> tuple[str, int | None]:
    service, text = "", path.removeprefix("/").removesuffix("/")
    if kind == "sentinel":
        service, _, text = text.partition("/")
        if not service:
            raise wrong_url("must end with /service or /service/database after the sentinels")
    if not text:
        return _decode(service, "url"), None
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > MAX_DATABASE:
        raise wrong_url(f"must have a number as its database, the last part of the path; {_ENCODE}")
    if kind == "cluster" and int(text):
        raise wrong_url("must not name a database, because a cluster has only database 0")
    return _decode(service, "url"), int(text)
