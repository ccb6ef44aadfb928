"""`redis-sessions`: the entry point, which prints an error as one line and sets the exit code.

Exit codes: 0 success, 1 the answer is no (a replay differs, a check of doctor fails), 2 wrong input, 3 the server failed.
"""

from __future__ import annotations

import logging
import os
import sys


def main() -> None:
    """Run the command line. A user's mistake is reported in one line, never as a traceback."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError:
        print(
            "redis-sessions: the command line needs typer and rich: pip install 'redis-sessions[cli]'", file=sys.stderr
        )
        sys.exit(2)
    from redis.exceptions import RedisError
    from rich.markup import escape

    from ..errors import (
        AccessDenied,
        NotReplicated,
        OutcomeUnknown,
        SchemaMismatch,
        SessionsError,
        StoreError,
        StoreFull,
        StoreUnavailable,
    )
    from .app import SafeFormatter, describe_error, log_orders
    from .commands import app, errors

    server_errors = (
        AccessDenied,
        NotReplicated,
        OutcomeUnknown,
        SchemaMismatch,
        StoreError,
        StoreFull,
        StoreUnavailable,
    )
    if logging.lastResort is not None:  # warnings of the library, where no log is configured
        logging.lastResort.setFormatter(SafeFormatter())
    log_orders()
    try:
        app()
    except (SessionsError, RedisError) as problem:  # redis-py refuses bad options of a URL at the first connection
        errors.print(f"[bold red]error[/] {escape(describe_error(problem))}", soft_wrap=True)
        sys.exit(3 if isinstance(problem, server_errors) else 2)
    except BrokenPipeError:  # the reader of a pipe, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
