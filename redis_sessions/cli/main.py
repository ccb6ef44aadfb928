"""`redis-sessions`: the entry point, and what all commands share: one line for an error, and exit codes.

0 it worked · 1 the answer is no (a replay differs, doctor found a problem) · 2 a wrong command line or input · 3 the server
"""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; a user's mistake is answered with one line, never a traceback."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError:
        print("redis-sessions: the command line needs more: pip install 'redis-sessions[cli]'", file=sys.stderr)
        sys.exit(2)
    from ..errors import (
        AccessDenied,
        OutcomeUnknown,
        SchemaMismatch,
        SessionsError,
        StoreError,
        StoreFull,
        StoreUnavailable,
    )
    from .commands import app, errors

    try:
        app()
    except SessionsError as problem:
        errors.print(f"[bold red]error[/] {_escaped(str(problem))}", soft_wrap=True)
        server = (AccessDenied, OutcomeUnknown, SchemaMismatch, StoreError, StoreFull, StoreUnavailable)
        sys.exit(3 if isinstance(problem, server) else 2)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
