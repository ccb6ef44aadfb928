"""The minifier of Lua sources."""

from __future__ import annotations

import lupa.lua51
import pytest

from redis_sessions._core.protocol.minify import minify


@pytest.mark.parametrize(
    ("source", "shortened"),
    [
        ("local number = 1 -- a comment\nreturn number\n", "local a=1\nreturn a\n"),
        ("local text = '-- no comment'\nreturn text\n", "local a='-- no comment'\nreturn a\n"),
        ("local count = 1\nreturn {count = count, other = count}\n", "local a=1\nreturn{a=a,b=a}\n"),
        ("local rest = {}\nreturn rest.rest, rest['rest']\n", "local a={}\nreturn a.rest,a['rest']\n"),
        ("local a = 1\nreturn 2 .. a .. 'x'\n", "local a=1\nreturn 2 ..a..'x'\n"),
        ("local one, two = 1, 2\nreturn two + two + one\n", "local b,a=1,2\nreturn a+a+b\n"),
        ("local t = {long = 1}\nreturn string.len('x'), t.long\n", "local a={a=1}\nreturn string.len('x'),a.a\n"),
        ("local t = {long = 1}\nfor key in pairs({'long'}) do return t.long end\n", None),
        (
            "local function join(first, ...)\n  return first, ...\nend\nreturn join(1, 2)\n",
            "local function a(b,...)\nreturn b,...\nend\nreturn a(1,2)\n",
        ),
        ("for at, value in ipairs({1}) do return at - -value end\n", None),
        (
            "local t = {match = string.match('x', 'x')}\nreturn string.match('y', 'y') .. string.match('z', 'z') .. t.match\n",
            "local a=string.match local b={a=a('x','x')}\nreturn a('y','y')..a('z','z')..b.a\n",
        ),
    ],
)
def test_minified_source_is_shorter_and_compiles(source: str, shortened: str | None) -> None:
    """Comments and spaces go, the most frequent names become the shortest, and strings, libraries and globals stay."""
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
        "local names, t = {'rev', 'seq'}, {}\nfor at, name in ipairs(names) do t[name] = at end\nreturn t.rev * 10 + t.seq\n",
        "local layout = {open = {7}, gaps = ''}\nlocal open = layout.open\nreturn #layout.gaps + open[1] + #open\n",
        "local find = string.find\nreturn find('ab', 'b') + string.find('abc', 'c') + string.find('abcd', 'd')\n",
        "local t = {a = 1}\nt.b = 2\nt.c, t.d = 3, {e = 4}\nreturn t.a + t.b * 10 + t.c * 100 + t.d.e * 1000\n",
    ],
)
def test_minified_source_returns_the_same(source: str) -> None:
    """The minified source computes what the source computes."""
    lua = lupa.lua51.LuaRuntime()
    assert lua.execute(minify(source)) == lua.execute(source)
