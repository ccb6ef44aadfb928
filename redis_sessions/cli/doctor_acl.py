"""The rights of a server user: those that a namespace needs, and how the rights of a user differ from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._core.protocol.keys import channel_patterns, key_patterns
from .doctor_checks import Finding

COMMANDS = (
    "evalsha", "script|load", "script|exists", "publish", "subscribe", "ping", "time",
    "del", "exists", "get", "persist", "pexpire", "pexpireat", "pttl", "rename", "set", "unlink",
    "hdel", "hexists", "hget", "hgetall", "hincrby", "hkeys", "hlen", "hmget", "hscan", "hset", "hsetnx", "hstrlen",
    "lindex", "llen", "lpop", "lpush", "lrange", "lrem", "lset", "ltrim", "rpop", "rpush",
    "zadd", "zcard", "zcount", "zincrby", "zlexcount", "zmscore", "zrange", "zrangebylex", "zrangebyscore", "zrank", "zrem",
    "zremrangebyscore", "zrevrangebylex", "zrevrangebyscore", "zscan", "zscore",
)  # fmt: skip
"""The commands that scripts and clients send."""
CLUSTER_COMMANDS = ("cluster|slots", "asking")
OTHER_COMMANDS = (
    "role", "wait", "select", "eval", "info", "client|setinfo", "client|setname", "auth", "hello", "reset", "quit", "echo",
)  # fmt: skip
"""Commands that some settings need, or that open nothing. A user may have them."""
_SHOWN = 8


def acl_rules(namespace: str, *, in_cluster: bool = False, may_load: bool = True) -> list[str]:
    """Return the rules that give a user all that a namespace needs, and nothing else.

    Args:
        in_cluster: add what a client of a cluster sends.
        may_load: let the user load scripts. Otherwise an administrator runs `redis-sessions scripts load`.
    """
    commands = [*COMMANDS, *(CLUSTER_COMMANDS if in_cluster else ())]
    keys, channels = key_patterns(namespace), channel_patterns(namespace)
    return [
        "resetkeys", *(f"~{one}" for one in keys), "resetchannels", *(f"&{one}" for one in channels), "-@all",
        *(f"+{one}" for one in commands if may_load or one != "script|load"),
    ]  # fmt: skip


def quote_word(word: str) -> str:
    """Return a word of a command as redis-cli reads it."""
    return '"' + word.replace('"', '\\"') + '"' if set("\"'") & set(word) else word


class UserRights(NamedTuple):
    """The rights of a user, as a server tells them."""

    flags: frozenset[str]
    keys: list[str]
    channels: list[str]
    rules: list[str]
    """Rules of commands, such as -@all and +get. The last one that names a command counts."""
    selectors: int
    passwords: int = 1


def parse_user(reply: Sequence[Any] | Mapping[Any, Any]) -> UserRights:
    """Return the rights from a reply to ACL GETUSER. Redis 6.2 lists patterns, newer servers join them."""
    fields = dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list | tuple) else dict(reply)
    found = {_text(name): value for name, value in fields.items()}
    return UserRights(
        frozenset(_text(flag) for flag in found["flags"]),
        _patterns(found["keys"], "~"),
        _patterns(found["channels"], "&"),
        _text(found["commands"]).split(),
        len(found.get("selectors", ())),
        len(found.get("passwords", ())),
    )


def is_allowed(command: str, rules: Iterable[str], categories: Mapping[str, set[str]]) -> bool:
    """Return whether rules allow a command, such as get or script|load. The last rule that names the command counts.

    Args:
        categories: the commands of each category, as ACL CAT lists them.
    """
    names = {command, command.partition("|")[0]}
    allowed = False
    for rule in rules:
        name = rule[1:].lower()
        named = categories.get(name[1:], set()) if name.startswith("@") else {name}
        if name == "@all" or names & named:
            allowed = rule.startswith("+")
    return allowed


def compare(
    user: str, rights: UserRights, categories: Mapping[str, set[str]], namespace: str, *, in_cluster: bool
) -> list[Finding]:
    """Return what a user lacks for a namespace, and what the user has beyond that."""
    needed = {*COMMANDS, *(CLUSTER_COMMANDS if in_cluster else ())}
    harmless = {*COMMANDS, *CLUSTER_COMMANDS, *OTHER_COMMANDS}
    every = set().union(*categories.values())
    missing = sorted(one for one in needed if not is_allowed(one, rights.rules, categories))
    beyond = sorted(one for one in every - harmless if is_allowed(one, rights.rules, categories))
    findings = [_check_login(user, rights), _check_missing(missing), _check_beyond(beyond)]
    findings += _check_patterns("keys", rights.keys, key_patterns(namespace), "~")
    findings += _check_patterns("channels", rights.channels, channel_patterns(namespace), "&")
    if rights.selectors:
        findings.append(
            Finding("warn", "selectors", f"{rights.selectors}, not examined", "use rules without selectors")
        )
    return findings


def _check_login(user: str, rights: UserRights) -> Finding:
    if "on" not in rights.flags:
        return Finding("fail", "user", f"{user} is off", f"ACL SETUSER {user} on")
    if "nopass" in rights.flags:
        return Finding("warn", "user", f"{user} needs no password", f"ACL SETUSER {user} resetpass, then >PASSWORD")
    if not rights.passwords:
        return Finding("fail", "user", f"{user} has no password, and so cannot log in", f"ACL SETUSER {user} >PASSWORD")
    return Finding("ok", "user", f"{user} is on and has a password")


def _check_missing(missing: list[str]) -> Finding:
    if missing == ["script|load"]:
        advice = "run `redis-sessions scripts load` as an administrator after each start of a server"
        return Finding("warn", "commands", "script|load is missing", advice)
    if missing:
        advice = f"without them calls fail: add {' '.join(f'+{one}' for one in missing)}"
        return Finding("fail", "commands", f"missing: {' '.join(missing)}", advice)
    return Finding("ok", "commands", "all that scripts and clients send")


def _check_beyond(beyond: list[str]) -> Finding:
    if not beyond:
        return Finding("ok", "more commands", "none")
    more = f" and {len(beyond) - _SHOWN} more" if len(beyond) > _SHOWN else ""
    advice = "nothing here needs them: begin the rules with -@all"
    return Finding("warn", "more commands", f"{' '.join(beyond[:_SHOWN])}{more}", advice)


def _check_patterns(subject: str, given: list[str], needed: list[str], sign: str) -> list[Finding]:
    """Return findings about patterns. A pattern of another form may cover more or less than what is needed."""
    missing = [one for one in needed if not any(_covers(pattern, one) for pattern in given)]
    beyond = [one for one in given if one not in needed]
    findings = []
    if missing:
        advice = f"without them calls fail: add {' '.join(sign + one for one in missing)}"
        findings.append(Finding("fail", subject, f"missing: {' '.join(missing)}", advice))
    if beyond:
        advice = f"they may open other namespaces: keep only {' '.join(sign + one for one in needed)}"
        findings.append(Finding("warn", subject, f"beyond the namespace: {' '.join(beyond)}", advice))
    return findings or [Finding("ok", subject, "those of the namespace only")]


def _covers(pattern: str, needed: str) -> bool:
    """Return whether a pattern that ends with '*' or equals the needed one lets all of it in."""
    return pattern == needed or (pattern.endswith("*") and needed.startswith(pattern[:-1]))


def _patterns(value: Any, sign: str) -> list[str]:
    texts = _text(value).split() if isinstance(value, str | bytes) else [_text(one) for one in value]
    return [one.removeprefix(sign) for one in texts]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
