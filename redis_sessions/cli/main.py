"""`redis-sessions`: the entry point, which prints an error as one line and sets the exit code.

Exit codes: 0 the command did its work. 1 the answer is no: it does not exist, its state refuses, or a check fails. 2 the command
line or the input is wrong. 3 the server failed, or could not be reached. 130 Ctrl-C. 141 the reader of the output has ended.
"""

from __future__ import annotations

import logging
import os
import sys

from .plain import use_plain_output

REFUSED, WRONG, FAILED, BROKEN_PIPE = 1, 2, 3, 141


def main() -> None:
    """Run the command line. A user's mistake is reported in one line, never as a traceback."""
    use_plain_output()
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError:
        print(
            "redis-sessions: the command line needs typer and rich: pip install 'redis-sessions[cli]'", file=sys.stderr
        )
        sys.exit(WRONG)
    try:
        _run()
    except SystemExit as end:
        sys.exit(_checked(end.code))
    except BrokenPipeError:
        sys.exit(_checked(BROKEN_PIPE))


def _run() -> None:
    """Run the command. Raises SystemExit with its exit code."""
    from redis.exceptions import RedisError

    from ..errors import SessionsError
    from .app import SafeFormatter, describe_error, log_orders, print_notice
    from .commands import app
    from .session_ids import LabelUnknown

    if logging.lastResort is not None:  # warnings of the library, where no log is configured
        logging.lastResort.setFormatter(SafeFormatter())
    log_orders()
    try:
        app()
    except (SessionsError, RedisError, LabelUnknown) as problem:
        print_notice(f"error {describe_error(problem)}")
        sys.exit(_code_of(problem))


def _code_of(problem: Exception) -> int:
    """Return the exit code of an error. redis-py refuses bad options of a URL at the first connection."""
    from redis.exceptions import RedisError

    from ..errors import (
        AccessDenied,
        InvalidInput,
        InvalidState,
        NotReplicated,
        OutcomeUnknown,
        SchemaMismatch,
        StoreError,
        StoreFull,
        StoreUnavailable,
    )

    if isinstance(
        problem,
        AccessDenied | NotReplicated | OutcomeUnknown | SchemaMismatch | StoreError | StoreFull | StoreUnavailable,
    ):
        return FAILED
    if isinstance(problem, RedisError) or (isinstance(problem, InvalidInput) and not isinstance(problem, InvalidState)):
        return WRONG
    return REFUSED


def _checked(code: object) -> int | str | None:
    """Return the exit code after the output was written. A pipe whose reader has ended makes it 141."""
    try:
        sys.stdout.flush()
        if type(sys.stdout).__name__ != "PacifyFlushWrapper" and code != BROKEN_PIPE:  # typer met a broken pipe
            return code if isinstance(code, int | str) else None
    except BrokenPipeError:
        pass
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


if __name__ == "__main__":
    main()
