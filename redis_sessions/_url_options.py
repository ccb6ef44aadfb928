"""The options of a URL's query: their names, their values, and the URLs that take them."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ._durations import milliseconds
from ._url import MAX_DATABASE, SECRETS, Address, Kind, Url
from .errors import InvalidInput
from .settings import CacheOptions

Remap = Callable[[Address], Address]
_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
_CERT_REQS = {form: word for word in ("none", "optional", "required") for form in (word, f"cert_{word}")}
_TLS_VERSIONS = {
    form: version
    for number, version in (("2", ssl.TLSVersion.TLSv1_2), ("3", ssl.TLSVersion.TLSv1_3))
    for form in (f"1.{number}", f"tlsv1.{number}", f"tlsv1_{number}", str(version.value))
}


@dataclass(frozen=True)
class UrlOptions:
    """The options of a URL, by whom they are for."""

    cache: Mapping[str, Any]
    """Options of the cache: timeout, retry_for, max_connections, address_remap."""
    connection: Mapping[str, Any]
    """Arguments of a connection to a server."""
    sentinel: Mapping[str, Any]
    """Arguments of a connection to a sentinel."""
    sentinel_has_tls: bool


class AddressMap:
    """Addresses that stand for others, as text: 10.0.0.1:7001=127.0.0.1:17001,10.0.0.2=localhost,*=127.0.0.1.

    A name without a port stands for all ports, and '*' for all hosts. A target without a port keeps the port. The most exact
    rule counts.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._rules: dict[tuple[str, int | None], tuple[str, int | None]] = {}
        for rule in text.split(","):
            left, _, right = rule.partition("=")
            source, target = _host_and_port(left), _host_and_port(right)
            if source in self._rules or target[0] == "*":
                raise ValueError(rule)
            self._rules[source] = target

    def __call__(self, address: Address) -> Address:
        """Return the address to connect to in the place of an address that a server named."""
        host, port = address
        for key in ((host, port), (host, None), ("*", port), ("*", None)):
            if key in self._rules:
                target, target_port = self._rules[key]
                return target, target_port or port
        return address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


def address_map(remap: object) -> Remap | None:
    """Return a function that maps addresses, from a function or from text. Raises InvalidInput."""
    if remap is None or callable(remap):
        return remap
    detail = "must be a function from (host, port) to (host, port), or rules such as 10.0.0.1:7001=localhost:17001,*=localhost"
    if not isinstance(remap, str):
        raise InvalidInput(name="address_remap", detail=f"{detail}, got a {type(remap).__name__}")
    try:
        return AddressMap(remap)
    except ValueError:
        raise InvalidInput(name="address_remap", detail=f"{detail}, got {remap!r}") from None


def read_options(url: Url) -> UrlOptions:
    """Return the options of a URL with its user, password and database. Raises InvalidInput that names the option."""
    valid = valid_names(url.kind, has_tls=url.has_tls)
    for name in url.query:
        if name not in valid:
            raise InvalidInput(name=name, detail=_why_not(name, url, valid))
    is_shown = url.password is None and not any(map(SECRETS.search, url.query))
    found = {name: _value(name, text, is_shown) for name, text in url.query.items()}
    for name, given in (("username", url.username), ("password", url.password), ("db", url.database)):
        if given is not None and name in found:
            raise InvalidInput(name=name, detail="is given twice in the URL: before its '?' and behind it")
        if given is not None:
            found[name] = given
    cache = {name: found.pop(name) for name in _CACHE if name in found}
    own = {name.removeprefix("sentinel_"): found.pop(name) for name in list(found) if name.startswith("sentinel_")}
    tls = {name: value for name, value in found.items() if name.startswith("ssl_")}
    _check_tls(tls, "")
    sentinel_has_tls = own.pop("ssl", url.has_tls)
    own_tls = {name: value for name, value in own.items() if name.startswith("ssl_")}
    if own_tls and not sentinel_has_tls:
        raise InvalidInput(
            name=f"sentinel_{next(iter(own_tls))}",
            detail="needs TLS to the sentinels: add sentinel_ssl=true to the URL",
        )
    _check_tls(own_tls, "sentinel_")
    sentinel = (own_tls or tls if sentinel_has_tls else {}) | {k: v for k, v in own.items() if k not in own_tls}
    return UrlOptions(cache, found, sentinel, sentinel_has_tls)


# -- names ---------------------------------------------------------------------------------------------------------


def valid_names(kind: Kind, *, has_tls: bool) -> list[str]:
    """Return the options that a kind of URL takes."""
    if kind in ("fake", "embedded"):
        return [*_CACHE[:3]]
    names = [*_CACHE[:3], *_CONNECTION]
    if kind == "cluster":
        names.remove("db")
    if kind in ("cluster", "sentinel"):
        names += _CACHE[3:]
    if has_tls:
        names += _TLS
    if kind == "sentinel":
        names += ["sentinel_username", "sentinel_password", "sentinel_ssl", *(f"sentinel_{name}" for name in _TLS)]
    return names


def _why_not(name: str, url: Url, valid: list[str]) -> str:
    """Return why a URL does not take an option."""
    scheme = url.shown.partition("://")[0]
    known = f"valid options of a {scheme}:// URL are {', '.join(valid)}"
    if name in _TLS and url.kind in ("single", "cluster", "sentinel"):
        secure = "valkeys" if scheme.startswith("valkey") else "rediss"
        return f"needs TLS: write {secure}:// instead of {scheme.partition('+')[0]}://; {known}"
    if name == "db" and url.kind == "cluster":
        return f"must be left out, because a cluster has only database 0; {known}"
    if name in CacheOptions.__annotations__ and name not in _CACHE:
        return f"is an argument of from_url, and not an option of a URL; {known}"
    if name in _CACHE or name in _CONNECTION or name in _TLS or name.startswith("sentinel_"):
        return f"is not for a {scheme}:// URL; {known}"
    if name in ("socket_timeout", "socket_connect_timeout"):
        return f"is not an option: write timeout, which bounds connecting and each reply; {known}"
    return f"is not an option; {known}"


# -- values --------------------------------------------------------------------------------------------------------


def _value(name: str, text: str, is_shown: bool) -> Any:
    parse, expected = OPTIONS[name.removeprefix("sentinel_")]
    try:
        return parse(text)
    except (ValueError, KeyError):
        got = f", got {text!r}" if is_shown else ""
        raise InvalidInput(name=name, detail=f"must be {expected}{got}") from None


def _text(text: str) -> str:
    return text


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


def _matching(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(text)
        return text

    return parse


def _number(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not minimum <= int(text) <= maximum:
            raise ValueError(text)
        return int(text)

    return parse


def _duration(text: str) -> str:
    milliseconds(text, "duration")
    return text


def _verify_flags(text: str) -> list[ssl.VerifyFlags]:
    return [ssl.VerifyFlags[name.upper()] for name in text.split(",")]


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Return a host, or '*', and its port or None. Raises ValueError."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/=\[\]]+))(?::(\d{1,5}))?", text, re.ASCII)
    if not found or (found[3] and not 1 <= int(found[3]) <= 65_535):
        raise ValueError(text)
    return found[1] or found[2], int(found[3]) if found[3] else None


_Parser = tuple[Callable[[str], Any], str]
_DURATION: _Parser = (_duration, "a duration from 1ms to 100 years, such as 2 (seconds), 500ms or 10s")
_BOOLEAN: _Parser = (_boolean, "true or false")
_FLAGS: _Parser = (_verify_flags, "names of ssl.VerifyFlags with commas, such as VERIFY_X509_STRICT")
_CACHE: tuple[str, ...] = ("timeout", "retry_for", "max_connections", "address_remap")
_CONNECTION = ("db", "username", "password", "client_name", "protocol")
_TLS_PARSERS: dict[str, _Parser] = {
    "ssl_cert_reqs": (lambda text: _CERT_REQS[text.lower()], "none, optional or required"),
    "ssl_check_hostname": _BOOLEAN,
    "ssl_ca_certs": (_text, "a file"),
    "ssl_ca_path": (_text, "a folder"),
    "ssl_ca_data": (_text, "PEM text"),
    "ssl_certfile": (_text, "a file"),
    "ssl_keyfile": (_text, "a file"),
    "ssl_password": (_text, "text"),
    "ssl_min_version": (lambda text: _TLS_VERSIONS[text.lower()], "1.2 or 1.3"),
    "ssl_ciphers": (_text, "names of ciphers with ':'"),
    "ssl_include_verify_flags": _FLAGS,
    "ssl_exclude_verify_flags": _FLAGS,
}
_TLS = tuple(_TLS_PARSERS)
OPTIONS: dict[str, _Parser] = {
    "timeout": _DURATION,
    "retry_for": _DURATION,
    "max_connections": (_number(1, 1_000_000), "a whole number from 1"),
    "address_remap": (AddressMap, "rules with commas, such as 10.0.0.1:7001=localhost:17001 or *=localhost"),
    "db": (_number(0, MAX_DATABASE), "a whole number from 0"),
    "username": (_text, "text"),
    "password": (_text, "text"),
    "client_name": (_matching(r"[!-~]{1,256}"), "1 to 256 printable ASCII characters without a space"),
    "protocol": (_matching("2"), "2, because every connection speaks RESP2"),
    "ssl": _BOOLEAN,
    **_TLS_PARSERS,
}
"""Each option with its parser, and the values that it takes. Options of sentinels stand here without 'sentinel_'."""


# -- TLS -----------------------------------------------------------------------------------------------------------


def _check_tls(options: Mapping[str, Any], prefix: str) -> None:
    """Refuse files and ciphers that cannot be used, and options that would have no effect. Raises InvalidInput."""
    for name in ("ssl_check_hostname", "ssl_ca_certs", "ssl_ca_path", "ssl_ca_data"):
        if options.get("ssl_cert_reqs") == "none" and options.get(name):
            raise InvalidInput(name=f"{prefix}{name}", detail=f"has no effect with {prefix}ssl_cert_reqs=none")
    for name in ("ssl_keyfile", "ssl_password"):
        if name in options and "ssl_certfile" not in options:
            raise InvalidInput(name=f"{prefix}{name}", detail=f"needs {prefix}ssl_certfile")
    if not options:
        return
    for name, load in _tls_steps(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), options):
        try:
            load()
        except (OSError, ValueError) as problem:
            got = "" if name == "ssl_ca_data" else f", got {options[name]!r}"
            reason = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or problem.args[-1]
            raise InvalidInput(name=f"{prefix}{name}", detail=f"cannot be used: {reason}{got}") from None


def _tls_steps(context: ssl.SSLContext, options: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the options that name files or ciphers, each with a function that uses its value as a connection does."""
    if "ssl_ca_certs" in options:
        yield "ssl_ca_certs", partial(context.load_verify_locations, cafile=options["ssl_ca_certs"])
    if "ssl_ca_path" in options:
        yield "ssl_ca_path", partial(os.listdir, options["ssl_ca_path"])  # OpenSSL takes a folder that does not exist
    if "ssl_ca_data" in options:
        yield "ssl_ca_data", partial(context.load_verify_locations, cadata=options["ssl_ca_data"])
    if "ssl_certfile" in options:
        for name in ("ssl_certfile", "ssl_keyfile"):
            if name in options:
                yield name, Path(options[name]).read_bytes
        password = options.get("ssl_password", "")  # without a password OpenSSL would ask the terminal for one
        yield (
            "ssl_certfile",
            partial(context.load_cert_chain, options["ssl_certfile"], options.get("ssl_keyfile"), password=password),
        )
    if "ssl_ciphers" in options:
        yield "ssl_ciphers", partial(context.set_ciphers, options["ssl_ciphers"])
