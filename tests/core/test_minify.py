"""The minifier of Lua sources."""

from __future__ import annotations

import lupa.lua51
import pytest

from redis_sessions._core.protocol.minify import minify


@pytest.mark.parametrize(
    ("source", "shortened"),
    [
        ("local number = 1 -- a comment\nreturn number\n", "local v0=1\nreturn v0\n"),
        ("local text = '-- no comment'\nreturn text\n", "local v0='-- no comment'\nreturn v0\n"),
        ("local count = 1\nreturn {count = count, other = count}\n", "local v0=1\nreturn{count=v0,other=v0}\n"),
        ("local rest = {}\nreturn rest.rest, rest['rest']\n", "local v0={}\nreturn v0.rest,v0['rest']\n"),
        ("local a = 1\nreturn 2 .. a .. 'x'\n", "local v0=1\nreturn 2 ..v0..'x'\n"),
        (
            "local function join(first, ...)\n  return first, ...\nend\nreturn join(1, 2)\n",
            "local function v0(v1,...)\nreturn v1,...\nend\nreturn v0(1,2)\n",
        ),
        ("for at, value in ipairs({1}) do return at - -value end\n", None),
    ],
)
def test_minified_source_is_shorter_and_compiles(source: str, shortened: str | None) -> None:
    """Comments and spaces go, local names become short, and strings, fields and globals stay."""
    found = minify(source)
    assert shortened is None or found == shortened
    assert len(found) < len(source)
    assert found.count("\n") == source.count("\n")
    lua = lupa.lua51.LuaRuntime()
    assert not isinstance(lua.eval("loadstring")(found), tuple)


@pytest.mark.parametrize(
    "source",
    [
        "local a, b = 3, {a = 4}\nlocal function f(...)\n  local t = {...}\n  return #t\nend\nreturn a + b.a + f(1, 2, 3)\n",
        "local x = 5\nlocal t = {x = x, ['y'] = x - -x}\nreturn t.x * 100 + t.y\n",
        "local s = 'it\\'s -- here'\nreturn #s\n",
    ],
)
def test_minified_source_returns_the_same(source: str) -> None:
    """The minified source computes what the source computes."""
    lua = lupa.lua51.LuaRuntime()
    assert lua.execute(minify(source)) == lua.execute(source)
