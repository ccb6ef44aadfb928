"""Reset what a forked process must not inherit: connections, locks that another thread held, threads that do not exist there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

_methods: dict[int, WeakMethod[Callable[[], None]]] = {}
_numbers = itertools.count()
_connections: WeakKeyDictionary[Any, Callable[[Any], int]] = WeakKeyDictionary()


def run_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in every process that is forked from now on, for as long as its object lives."""
    number = next(_numbers)
    _methods[number] = WeakMethod(method, lambda _: _methods.pop(number, None))


def cut_in_child(connection: Any, fileno: Callable[[Any], int]) -> None:
    """Replace the socket of a connection by /dev/null in every process that is forked from now on.

    The server then sees the end of the parent process, and a call that a fork interrupted fails in the forked process.

    Args:
        connection: is held weakly.
        fileno: returns the file descriptor of the connection, or -1 for none.
    """
    _connections[connection] = fileno


def _cut_connections() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for connection, fileno in list(_connections.items()):
        number = fileno(connection)
        if number >= 0:
            os.dup2(null, number, inheritable=False)
    os.close(null)


def _run_all() -> None:
    _cut_connections()
    for found in list(_methods.values()):
        method = found()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(after_in_child=_run_all)
