"""Passwords in URLs, well formed or not: no part of one is shown by an error, a repr, a log or the command line."""

from __future__ import annotations

import contextlib
import io
import logging
import pickle
import sys
import traceback
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache
from redis_sessions.cli.main import main
from redis_sessions.engines import from_url

LETTERS = "QXZWKVJ0189"
SIGNS = ":/?#[]@!$&'()*+,;=%\" \\^`{|}<>~\n\t\u00e4\u202e."
PART = 4
"""The shortest part of a password that must not be shown."""
passwords = st.text(st.sampled_from(LETTERS * 3 + SIGNS), min_size=8, max_size=24).filter(
    lambda text: sum(one in LETTERS for one in text) >= 6
)
FORMS = [
    "redis://user:{}@host:6379/0", "redis://:{}@host", "rediss://user:{}@host:99999", "redis://user:{}@host:port",
    "redis://user:{}@", "redis://user:{}@host/x/y", "redis://user:{}@host?db=x", "redis://user:{}@host?nonsense=1",
    "redis://user:{}@host,other", "redis://user:{}@[::1", "redis://user:{}@@host", "redis:/user:{}@host", "redis:user:{}@host",
    "user:{}@host", ":{}@host:6379", "{}", "redis//user:{}@host", "http://user:{}@host", "redis:// user:{}@host",
    "redis+sentinel://user:{}@host", "redis+sentinel://user:{}@host,,/svc", "redis+sentinel://a,user:{}@host/svc",
    "redis+cluster://user:{}@a,user:{}@b", "redis+cluster://user:{}@host/3", "unix://user:{}@run/s",
    "unix://user:{}@/" + "x" * 120,
    "redis://host?password={}&db=x", "redis://host?password={}&password={}", "redis://host?passwort={}&password=x",
    "redis+sentinel://h/svc?sentinel_password={}&db=x", "rediss://h?ssl_password={}", "fake://user:{}@host",
    "embedded://user:{}@host/path", "redis://user:{}", "redis://:{}", "valkey://host:6379:{}", "redis://user:{}#@host",
]  # fmt: skip


def shown_parts(text: str, *secrets: str) -> set[str]:
    """Return the parts of secrets that a text shows."""
    parts = {secret[at : at + PART] for secret in secrets for at in range(len(secret) - PART + 1)}
    return {part for part in parts if part in text and any(one in LETTERS for one in part)}


@settings(max_examples=150)
@given(passwords, st.sampled_from(FORMS))
@example("QXZW?KVJ0=189Q", "redis://user:{}@host")
@example("QXZWKVJ0&189QXZW=KV", "redis://host?password={}")
@example("QXZW/KVJ0189", "redis://user:{}@host")
@example("QXZWKVJ0189", "redis://user:{}")
def test_no_part_of_a_password_is_shown_for_a_malformed_url(password: str, form: str) -> None:
    """Whatever is wrong with a URL, the error, its chain and its repr show no part of the password."""
    url = form.replace("{}", password)
    problem: InvalidInput | None = None
    try:
        engine = from_url(url)
    except InvalidInput as found:
        problem = found
    if problem is not None:
        shown = "".join(traceback.format_exception(problem, chain=True)).rpartition("InvalidInput: ")[2]
        assert shown_parts(f"{shown} {problem} {problem!r} {problem.facts}", password) == set()
    else:
        secrets = [one for one in (engine.options.get("password"), engine.sentinel_options.get("password")) if one]
        secrets = [one for one in secrets if len(one) >= PART]
        assert shown_parts(f"{engine.where} {engine!r}", *secrets) == set()


@settings(max_examples=40)
@given(passwords)
def test_no_repr_shows_a_password(password: str) -> None:
    """The repr of caches, settings, engines and sessions shows no part of a password, and neither does a pickled error."""
    encoded = quote(password, safe="")
    for url in (f"redis://me:{encoded}@h", f"redis://h?password={encoded}", f"redis+sentinel://:{encoded}@h/svc"):
        for kind in (SessionCache, AsyncSessionCache):
            cache = kind.from_url(url)
            texts: list[object] = [
                cache,
                cache.engine,
                cache._context,
                cache._executor,
                cache._context.router,
                cache.where,
            ]
            if isinstance(cache, SessionCache):
                texts.append(cache.session("a"))
            for one in texts:
                assert shown_parts(f"{one!r} {one}", password) == set(), one


@pytest.mark.parametrize("form", FORMS)
def test_command_line_and_log_show_no_password(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """No command prints a part of a password, and nothing logs one."""
    password = "QXZWKVJ0189QXZ"
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    with caplog.at_level(logging.DEBUG), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for command in (["doctor", "--acl-line"], ["export", "x"]):
            sys.argv = ["redis-sessions", *command, "--url", form.replace("{}", password + "/")]
            with contextlib.suppress(SystemExit):
                main()
    sys.argv = before
    assert shown_parts(out.getvalue() + err.getvalue() + caplog.text, password) == set()
    assert out.getvalue() + err.getvalue()


def test_pickled_error_holds_no_password() -> None:
    """An error that goes to another process carries no part of a password."""
    with pytest.raises(InvalidInput) as refused:
        from_url("redis://user:QXZWKVJ0189@host:port")
    assert shown_parts(pickle.dumps(refused.value).decode("latin-1"), "QXZWKVJ0189") == set()
