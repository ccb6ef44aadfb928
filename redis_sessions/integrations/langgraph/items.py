"""The items of LangGraph's store as documents, and what a batch of operations asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)

from redis_sessions import Document, InvalidInput

ROOT = "langgraph"
"""The first level of the categories that hold items."""
_MAX_CATEGORY = 256
_EMPTY = "%"
_ESCAPED = re.compile(
    r"[^ !#$&-.0-9:-@A-Z^_`a-z|~\u00c0-\u024f\u0400-\u04ff\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]"
)
"""Characters that are escaped: all but those that each version of Python calls printable."""


def category_of(namespace: Sequence[str]) -> str:
    """Return the category of a namespace. Labels of any characters stay apart."""
    return "/".join([ROOT, *map(name_of, namespace)])


def name_of(text: str) -> str:
    """Return a label or a key of any characters as the name of a document."""
    escaped = _ESCAPED.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), text)
    return escaped.replace("..", ".%2E") or _EMPTY


def _text_of(name: str) -> str:
    return "" if name == _EMPTY else unquote(name, errors="surrogatepass")


def namespace_of(category: str) -> tuple[str, ...]:
    """Return the namespace of a category."""
    return tuple(map(_text_of, category.split("/")[1:]))


class Batch:
    """The operations of one batch, by kind. Operations that read see the items from before the batch."""

    def __init__(self, ops: Iterable[Op]) -> None:
        """Take the operations. Raises InvalidNamespaceError, and ValueError for an unknown operation."""
        self.ops = list(ops)
        self._puts: dict[tuple[str, str], PutOp] = {}
        for op in self.ops:
            if not isinstance(op, GetOp | PutOp | SearchOp | ListNamespacesOp):
                raise ValueError(f"must be an operation of a store, got {type(op).__name__}")
            validate_op_namespace(op)
            if isinstance(op, PutOp):
                self._puts[category_of(op.namespace), name_of(op.key)] = op

    @property
    def listed(self) -> list[str]:
        """The beginnings of the categories that the operations must know. None of them begins with another one."""
        found: list[str] = []
        for prefix in sorted(prefix for op in self.ops if (prefix := _listed_below(op)) is not None):
            if not found or not prefix.startswith(found[-1]):
                found.append(prefix)
        return found

    def gets(self, *, refresh: bool) -> dict[str, list[str]]:
        """Return the names that are read, by category: those whose life is refreshed, or the others."""
        found: dict[str, list[str]] = {}
        for op in self.ops:
            if isinstance(op, GetOp) and op.refresh_ttl is refresh:
                found.setdefault(category_of(op.namespace), []).append(name_of(op.key))
        return found

    def searched(self, categories: Iterable[str]) -> list[str]:
        """Return the categories that are searched: those that the operations name, and of the listed ones those below."""
        prefixes = dict.fromkeys(category_of(op.namespace_prefix) for op in self.ops if isinstance(op, SearchOp))
        below = [one for one in categories if any(_is_below(one, prefix) for prefix in prefixes)]
        named = [one for one in prefixes if one != ROOT and len(one) <= _MAX_CATEGORY]  # a longer one holds nothing
        return list(dict.fromkeys([*named, *below]))

    def puts(self) -> dict[float | None, dict[str, dict[str, Any]]]:
        """Return the values that are stored, by ttl in minutes, category and name."""
        found: dict[float | None, dict[str, dict[str, Any]]] = {}
        for (category, name), op in self._puts.items():
            if op.value is not None:
                if not isinstance(op.value, dict):
                    raise InvalidInput(name="value", detail=f"must be a dict, got a {type(op.value).__name__}")
                found.setdefault(op.ttl, {}).setdefault(category, {})[name] = op.value
        return found

    def refreshed(self, results: Iterable[Result]) -> dict[str, list[str]]:
        """Return the names of the items that searches found and whose life is refreshed, by category."""
        found: dict[str, list[str]] = {}
        for op, result in zip(self.ops, results, strict=True):
            for item in result if isinstance(op, SearchOp) and op.refresh_ttl and isinstance(result, list) else ():
                if isinstance(item, SearchItem):
                    found.setdefault(category_of(item.namespace), []).append(name_of(item.key))
        return found

    def deletes(self) -> dict[str, list[str]]:
        """Return the names that are deleted, by category."""
        found: dict[str, list[str]] = {}
        for (category, name), op in self._puts.items():
            if op.value is None:
                found.setdefault(category, []).append(name)
        return found


class Found(NamedTuple):
    """The results of the reads of a batch."""

    categories: list[str]
    gets: Mapping[bool, Mapping[str, Mapping[str, Document]]]
    """Documents by refresh, category and name."""
    searched: Mapping[str, Sequence[Document]]

    def result(self, op: Op) -> Result:
        """Return the result of an operation."""
        if isinstance(op, GetOp):
            category, name = category_of(op.namespace), name_of(op.key)
            document = self.gets.get(op.refresh_ttl, {}).get(category, {}).get(name)
            return None if document is None else Item(**_fields(category, document))
        if isinstance(op, SearchOp):
            return self._search(op)
        return self._namespaces(op) if isinstance(op, ListNamespacesOp) else None

    def _search(self, op: SearchOp) -> list[SearchItem]:
        prefix = category_of(op.namespace_prefix)
        found = [
            (category, document)
            for category, documents in self.searched.items()
            if _is_below(category, prefix)
            for document in documents
            if document.form == "json"
            and all(_matches(document.value.get(key), one) for key, one in (op.filter or {}).items())
        ]
        found.sort(key=lambda one: one[1].updated_at, reverse=True)
        return [SearchItem(**_fields(*one)) for one in found[op.offset : op.offset + op.limit]]

    def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        found = [
            namespace
            for namespace in map(namespace_of, self.categories)
            if all(_fits(condition, namespace) for condition in op.match_conditions or ())
        ]
        cut = sorted({namespace[: op.max_depth] for namespace in found} if op.max_depth is not None else found)
        return cut[op.offset : op.offset + op.limit]


def _fields(category: str, document: Document) -> dict[str, Any]:
    return {
        "value": document.value,
        "key": _text_of(document.name),
        "namespace": namespace_of(category),
        "created_at": document.created_at,
        "updated_at": document.updated_at,
    }


def _listed_below(op: Op) -> str | None:
    """Return the beginning of the categories that an operation looks for. None if it looks for none."""
    if isinstance(op, SearchOp):
        return category_of(op.namespace_prefix) + "/"
    if not isinstance(op, ListNamespacesOp):
        return None
    paths = [one.path for one in op.match_conditions or () if one.match_type == "prefix"]
    below = list(takewhile(lambda label: label != "*", paths[0])) if paths else []
    return category_of(below) if below else f"{ROOT}/"


def _is_below(category: str, prefix: str) -> bool:
    return category == prefix or category.startswith(f"{prefix}/")


def _fits(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    labels = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, labels, strict=True))


def _matches(value: Any, wanted: Any) -> bool:
    """Return whether a value fits a filter: equal, or by the operators of a mapping."""
    if isinstance(wanted, Mapping):
        if any(key.startswith("$") for key in wanted):
            return all(_compares(value, operator, one) for operator, one in wanted.items())
        return isinstance(value, Mapping) and all(_matches(value.get(key), one) for key, one in wanted.items())
    if isinstance(wanted, list | tuple):
        is_list = isinstance(value, list | tuple) and len(value) == len(wanted)
        return is_list and all(_matches(*pair) for pair in zip(value, wanted, strict=True))
    return bool(value == wanted)


def _compares(value: Any, operator: str, wanted: Any) -> bool:
    if operator in ("$eq", "$ne"):
        return (value == wanted) is (operator == "$eq")
    if operator not in ("$gt", "$gte", "$lt", "$lte"):
        raise ValueError(f"the operator of a filter must be $eq, $ne, $gt, $gte, $lt or $lte, got {operator!r}")
    if value is None:
        return False
    number, bound = float(value), float(wanted)
    if number == bound:
        return operator.endswith("e")
    return (number > bound) is operator.startswith("$g")
