"""The checks of `doctor` about who can reach a server, and about versions with known holes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._url import Address
from ..engines import Engine
from .doctor_checks import Finding, version_of


class _Hole(NamedTuple):
    """A known hole of servers: a branch that is not listed has no fixed version, a branch above the last one has no hole."""

    cve: str
    what: str
    redis: Mapping[tuple[int, int], int]
    """The first fixed patch version of each branch of Redis. Empty if Redis does not have the hole."""
    valkey: Mapping[tuple[int, int], int]
    first: tuple[int, int] = (0, 0)
    """The first branch with the hole."""


_CRASHING_LUA = "a script can run code on the server"
_HOLES = [
    _Hole(
        "CVE-2022-24735", "a script can run commands with the rights of another user",
        {(6, 2): 7, (7, 0): 0}, {},
    ),
    _Hole("CVE-2022-24834", _CRASHING_LUA, {(6, 2): 13, (7, 0): 12, (7, 2): 0}, {}),
    _Hole("CVE-2023-41053", "SORT_RO reads keys that the ACL forbids", {(7, 0): 13, (7, 2): 1}, {}, (7, 0)),
    _Hole("CVE-2024-31449", _CRASHING_LUA, {(6, 2): 16, (7, 2): 6, (7, 4): 1}, {(7, 2): 7, (8, 0): 1}),
    _Hole("CVE-2024-46981", _CRASHING_LUA, {(6, 2): 17, (7, 2): 7, (7, 4): 2}, {(7, 2): 8, (8, 0): 2}),
    _Hole(
        "CVE-2025-49844", "a script can run code on the server, or with the rights of another user (CVE-2025-46818)",
        {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}, {(7, 2): 11, (8, 0): 6, (8, 1): 4},
    ),
    _Hole(
        "CVE-2025-67733", "a script can forge the replies that another connection reads",
        {(7, 2): 13, (7, 4): 8, (8, 0): 6, (8, 2): 5, (8, 4): 2, (8, 6): 1},
        {(7, 2): 12, (8, 0): 7, (8, 1): 6, (9, 0): 3}, (7, 0),
    ),
    _Hole(
        "CVE-2026-23631", "a long script during a full synchronisation can run code on a replica",
        {(7, 2): 14, (7, 4): 9, (8, 2): 6, (8, 4): 3, (8, 6): 3},
        {(7, 2): 13, (8, 0): 8, (8, 1): 7, (9, 0): 4}, (7, 0),
    ),
]  # fmt: skip
"""Escapes from Lua and from ACLs that were known in November 2026, by their advisories and release notes."""


def known_holes(info: Mapping[str, str]) -> list[str]:
    """Return the known holes of the server that INFO describes, each with what it allows."""
    is_valkey = "valkey_version" in info
    major, minor, patch = version_of(info)
    found = []
    for hole in _HOLES:
        fixed = hole.valkey if is_valkey else hole.redis
        branch = (major, minor)
        if fixed and hole.first <= branch <= max(fixed) and patch < fixed.get(branch, 2**31):
            found.append(f"{hole.cve}: {hole.what}")
    return found


def check_version(info: Mapping[str, str]) -> Finding:
    """Return the finding about known holes of a server."""
    found = known_holes(info)
    if not found:
        return Finding("ok", "known holes", "none that lets a script or a user escape")
    advice = (
        "use the newest patch of a maintained version, unless your distribution patched this one. Such holes need the"
        " right to SCRIPT LOAD or EVAL: a user without them cannot use them"
    )
    return Finding("warn", "known holes", "; ".join(found), advice)


def check_login(engine: Engine, default_flags: set[str] | None) -> Finding:
    """Return the finding about passwords.

    Args:
        default_flags: the flags of the user `default`. None if the server does not tell them.
    """
    if engine.where.startswith("embedded://"):
        return Finding("ok", "login", "none, and only the user who owns the folder can reach the server")
    if not engine.options.get("password"):
        advice = (
            "any program that reaches the server can read and change everything: give users and passwords (ACL SETUSER)"
        )
        return Finding("warn", "login", "the server asks for no password", advice)
    if default_flags and {"on", "nopass"} <= default_flags:
        advice = "any program that reaches the server can read and change everything: ACL SETUSER default off"
        return Finding("warn", "login", "this user has a password, but the user default needs none", advice)
    return Finding("ok", "login", "with a password")


def check_encryption(engine: Engine) -> Finding:
    """Return the finding about TLS and certificates."""
    if engine.transport == "unix":
        return Finding("ok", "encryption", "none needed on a Unix socket")
    if engine.transport == "tls":
        return _check_certificates(engine)
    hosts = [host for host, _ in _addresses(engine)]
    if all(map(_is_loopback, hosts)):
        return Finding("ok", "encryption", "none needed on this machine (loopback)")
    advice = "others on the network can read and change what is sent, passwords included: use rediss://"
    return Finding("warn", "encryption", "no TLS", advice)


def _check_certificates(engine: Engine) -> Finding:
    ways = [engine.options, *([engine.sentinel_options] if engine.sentinels else [])]
    if engine.sentinels and engine.sentinel_transport != "tls":
        advice = "a machine in between can name another master: leave out sentinel_ssl=false"
        return Finding("warn", "encryption", "TLS, but none to the sentinels", advice)
    for options in ways:
        if options.get("ssl_cert_reqs", "required") != "required":
            advice = (
                "a machine in between can answer instead of the server: use ssl_cert_reqs=required with ssl_ca_certs"
            )
            return Finding("warn", "encryption", "TLS, but certificates are not verified", advice)
        if options.get("ssl_check_hostname") is False:
            advice = "any certificate of the same authority is accepted: leave out ssl_check_hostname=false"
            return Finding("warn", "encryption", "TLS, but the name in the certificate is not verified", advice)
    return Finding("ok", "encryption", "TLS with verified certificates")


def _addresses(engine: Engine) -> list[Address]:
    own: list[Address] = [(str(engine.options["host"]), 0)] if "host" in engine.options else []
    return [*own, *engine.nodes, *engine.sentinels]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def flags_of(reply: Any) -> set[str] | None:
    """Return the flags in a reply to ACL GETUSER, None for a refusal."""
    if not isinstance(reply, list) or len(reply) < 2:
        return None
    return {flag.decode() for flag in reply[1]}
