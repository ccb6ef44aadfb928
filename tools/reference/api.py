"""The reference of settings, errors and the command line."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any, Literal, get_args, get_origin

from redis_sessions import AsyncSessionCache, SessionsError, errors
from redis_sessions._async.services.setup import make_context
from redis_sessions._core.protocol.scripts import names, script
from redis_sessions._url import Kind
from redis_sessions._url_options import OPTIONS, valid_names
from redis_sessions.bounds import StorageBounds
from redis_sessions.settings import CacheOptions, SessionOptions, SessionSettings, TreeOptions

from .facts import ADVICE, UNITS, URL_OPTIONS
from .text import code, one_line, prose, table, wrapped


def attribute_docs(cls: type) -> dict[str, str]:
    """Return the docstring below each attribute of a class."""
    (body,) = [node for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef)]
    found: dict[str, str] = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            found[node.target.id] = one_line(ast.literal_eval(after.value))
    return found


def bounds_of(name: str) -> str:
    """Return the bounds of one option of a session, as its model holds them."""
    field = SessionSettings.model_fields[name]
    if UNITS[name] == "duration":
        return "0.001 s to 100 years"
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(code, get_args(field.annotation)))
    low = next((one.ge for one in field.metadata if hasattr(one, "ge")), 0)
    high = next((one.le for one in field.metadata if hasattr(one, "le")), None)
    return f"{low:,} to {high:,.0f}" if high is not None else f"{low:,} or more"


def default_of(value: object, unit: str) -> str:
    """Return a default with its unit, as inline code."""
    if callable(value):
        return code(getattr(value, "__name__", value))
    if isinstance(value, tuple):
        return ", ".join(map(code, value)) or "none"
    if isinstance(value, str | bool) or value is None:
        return code(value)
    return code(f"{value:,.15g}" + (" s" if unit == "duration" else ""))


def option_rows(group: type) -> list[list[str]]:
    """Return a row for each option of a group that a session has."""
    docs = attribute_docs(SessionSettings)
    rows = []
    for name in group.__annotations__:
        field, unit = SessionSettings.model_fields[name], UNITS[name]
        bounds = bounds_of(name) + (", or None" if type(None) in get_args(field.annotation) else "")
        rows.append([code(name), unit, default_of(field.default, unit), bounds, docs[name]])
    return rows


def session_options() -> str:
    """Return the table of the options that each session has."""
    return table(["option", "unit", "default", "bounds", "meaning"], option_rows(SessionOptions))


def tree_options() -> str:
    """Return the table of the options that the root of a tree has."""
    return table(["option", "unit", "default", "bounds", "meaning"], option_rows(TreeOptions))


def cache_options() -> str:
    """Return the table of the options of a cache."""
    text = inspect.getdoc(AsyncSessionCache.from_url) or ""
    docs = {
        name: one_line(meaning) for name, meaning in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    }
    parameters = inspect.signature(make_context).parameters
    of_sessions = SessionOptions.__annotations__.keys() | TreeOptions.__annotations__.keys()
    rows = []
    for name in CacheOptions.__annotations__:
        if name not in of_sessions:
            default = default_of(parameters[name].default, UNITS[name])
            rows.append([code(name), UNITS[name], default, docs[name][0].upper() + docs[name][1:]])
    return table(["option", "unit", "default", "meaning"], rows)


def storage_bounds() -> str:
    """Return the table of the bounds of what is stored."""
    docs = attribute_docs(StorageBounds)
    rows = []
    for name, field in StorageBounds.model_fields.items():
        low, high = (next(getattr(one, at) for one in field.metadata if hasattr(one, at)) for at in ("ge", "le"))
        unit = "bytes" if name.endswith("_bytes") else "number"
        rows.append([code(name), unit, code(f"{field.default:,}"), f"{low:,} to {high:,}", docs[name]])
    return table(["bound", "unit", "default", "values", "meaning"], rows)


def url_options() -> str:
    """Return the table of the options of a URL's query."""
    kinds: dict[str, Kind] = {
        "one server": "single", "cluster": "cluster", "Sentinel": "sentinel", "unix": "unix", "embedded and fake": "fake"
    }  # fmt: skip
    rows = []
    for name, (_, expected) in OPTIONS.items():
        if name == "ssl":
            continue
        takers = [shown for shown, kind in kinds.items() if name in valid_names(kind, has_tls=True)]
        users = "with TLS" if name.startswith("ssl_") else "all" if len(takers) == len(kinds) else ", ".join(takers)
        rows.append([code(name), expected, users, URL_OPTIONS[name]])
    rows.append([code("sentinel_username"), "text", "Sentinel", "The sentinels' own user."])
    rows.append([code("sentinel_password"), "text", "Sentinel", "The sentinels' own password."])
    rows.append([code("sentinel_ssl"), OPTIONS["ssl"][1], "Sentinel", URL_OPTIONS["ssl"]])
    own = "The sentinels' own form of each `ssl_` option. Without one, all `ssl_` options count for the sentinels, too."
    rows.append([code("sentinel_ssl_…"), "as `ssl_…`", "Sentinel", own])
    return table(["option", "value", "URLs", "meaning"], rows)


def environment() -> str:
    """Return the table of the environment variables that the command line reads."""
    found: dict[str, tuple[str, set[str]]] = {}
    for name, command in commands():
        for parameter in command.params:
            for variable in [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []:
                found.setdefault(variable, (parameter.opts[0], set()))[1].add(name)
    every = len(commands())
    rows = [
        [code(variable), code(option), "all" if len(users) == every else f"{len(users)} of {every}"]
        for variable, (option, users) in sorted(found.items())
    ]
    return table(["variable", "option", "commands that read it"], rows)


# -- errors --------------------------------------------------------------------------------------------------------


def error_classes() -> list[tuple[int, type[SessionsError]]]:
    """Return all errors with their depth in the hierarchy, each parent before its children."""

    def walk(cls: type[SessionsError], depth: int) -> list[tuple[int, type[SessionsError]]]:
        children = sorted(cls.__subclasses__(), key=lambda child: child.__name__)
        return [(depth, cls), *(found for child in children for found in walk(child, depth + 1))]

    return walk(SessionsError, 0)


def error_tree() -> str:
    """Return the hierarchy of the errors as a nested list."""
    lines = []
    for depth, cls in error_classes():
        others = [
            base.__name__ for base in cls.__bases__ if not issubclass(base, SessionsError) and base is not Exception
        ]
        also = f" (also a `{others[0]}`)" if others else ""
        lines.append(f"{'    ' * depth}- [`{cls.__name__}`](#{cls.__name__.lower()}){also}")
    return "\n".join(lines)


def error_list() -> str:
    """Return a section for each error."""
    parts = []
    for _, cls in error_classes():
        facts = re.findall(r"\{(\w+)", cls.template)
        shown = dict.fromkeys(
            [*facts, *(name for name in cls.__annotations__ if name not in ("refusal", "reply", "template"))]
        )
        lines = [f"### {cls.__name__}", "", wrapped(prose(inspect.getdoc(cls) or "")), ""]
        if cls is not SessionsError:
            lines += [
                wrapped(f"Message: `{one_line(cls.template)}`", "- "),
                wrapped(f"Facts: {', '.join(map(code, shown))}", "- "),
            ]
        if cls.refusal and "refusal" in vars(cls):
            users = [code(name) for name in names() if cls.refusal in script(name).errors]
            by = (
                f", from {', '.join(users)}" if 0 < len(users) <= 6 else f", from {len(users)} scripts" if users else ""
            )
            form = " ".join([cls.refusal, *(f"<{name}>" for name in cls.reply)])
            lines.append(wrapped(f"Refusal: `{form}`{by}", "- "))
        lines.append(wrapped(f"What to do: {ADVICE[cls.__name__]}", "- "))
        parts.append("\n".join(lines))
    assert {cls.__name__ for _, cls in error_classes()} == {*errors.__all__}
    return "\n\n".join(parts)


# -- command line --------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, Any]]:
    """Return every command of the command line with its full name."""
    from typer.main import get_command

    from redis_sessions.cli.commands import app

    def walk(prefix: str, command: Any) -> list[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            return [(prefix, command)]
        return [found for name, child in sorted(command.commands.items()) for found in walk(f"{prefix} {name}", child)]

    return walk("redis-sessions", get_command(app))


def cli_table() -> str:
    """Return the table of all commands."""
    rows = []
    for name, command in commands():
        summary = one_line((command.help or "").split("\n\n")[0])
        rows.append([f"[`{name}`](#{name.replace(' ', '-')})", summary])
    return table(["command", "what it does"], rows)


def cli_list() -> str:
    """Return a section for each command."""
    return "\n\n".join(cli_section(name, command) for name, command in commands())


def argument_form(argument: Any) -> str:
    """Return an argument as a usage line shows it: NAME, [NAME] or [NAME]...."""
    name = (argument.metavar or argument.name or "").upper().strip("[]")
    return (name if argument.required else f"[{name}]") + ("..." if argument.nargs != 1 else "")


def label_of(parameter: Any) -> str:
    """Return an argument's name in capitals, or all forms of an option."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    return " / ".join([*parameter.opts, *parameter.secondary_opts])


def kind_of(parameter: Any) -> str:
    """Return the type of a parameter with its bounds. typer keeps its types in a form that depends on its version."""
    if getattr(parameter, "is_flag", False):
        return "flag"
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    name = getattr(annotation, "__name__", None) or getattr(getattr(parameter, "type", None), "name", "text")
    kind = {"int": "whole number", "float": "number", "Path": "file"}.get(str(name), "text")
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None and high is not None:
        return f"{kind}, {low:,} to {high:,}"
    return f"{kind}, {low:,} or more" if low is not None else kind


def default_of_parameter(parameter: Any) -> str:
    """Return the default of a parameter: a value as code, or the words that the help shows."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return prose(parameter.show_default)
    default = parameter.default
    return "" if default in (None, "", False) or not isinstance(default, str | int | float | bool) else code(default)


def cli_section(name: str, command: Any) -> str:
    """Return the section of one command: usage, help, arguments and options."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not getattr(one, "hidden", False)]
    words = [name, *map(argument_form, arguments)]
    lines = [f"### {name}", "", "```text", " ".join([*words, *(["[OPTIONS]"] if options else [])]), "```", ""]
    lines += [wrapped(prose(part)) + "\n" for part in (command.help or "").split("\n\n")]
    rows = [
        [code(label_of(one)), kind_of(one), default_of_parameter(one), prose(one.help or "")]
        for one in [*arguments, *options]
    ]
    lines.append(table(["argument or option", "type", "default", "meaning"], rows) if rows else "No arguments.")
    return "\n".join(lines)
