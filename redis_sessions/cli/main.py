"""`redis-sessions`: the entry point, which prints an error as one line and sets the exit code.

Exit codes: 0 the command did its work. 1 the answer is no: it does not exist, its state refuses, or a check fails. 2 the command
line or the input is wrong. 3 the server failed, or could not be reached. 4 the output could not be written. 130 Ctrl-C. 141 the
reader of the output has ended.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from contextlib import suppress

from .plain import use_plain_output

REFUSED, WRONG, FAILED, UNWRITTEN, BROKEN_PIPE = 1, 2, 3, 4, 141
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""Errors of an output that takes nothing more."""


def main() -> None:
    """Run the command line. A user's mistake is reported in one line, never as a traceback."""
    _open_closed_streams()
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
    except OSError as problem:
        if problem.errno not in _WRITE_ERRORS or problem.filename is not None:
            raise
        sys.exit(_end_unwritten(problem))


def _open_closed_streams() -> None:
    """Give a standard stream that the shell closed a descriptor of its own, so that no socket or file gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if found != number:
                os.dup2(found, number)
                os.close(found)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _run() -> None:
    """Run the command. Raises SystemExit with its exit code."""
    from redis.exceptions import RedisError

    from .._core.protocol.transport_errors import TransportError
    from ..errors import SessionsError
    from .app import SafeFormatter, describe_error, log_orders, print_notice
    from .commands import app
    from .session_ids import LabelUnknown

    if logging.lastResort is not None:  # warnings of the library, where no log is configured
        logging.lastResort.setFormatter(SafeFormatter())
    log_orders()
    try:
        app()
    except (SessionsError, RedisError, TransportError, LabelUnknown) as problem:
        print_notice(f"error {describe_error(problem)}")
        sys.exit(_code_of(problem))


def _code_of(problem: Exception) -> int:
    """Return the exit code of an error. redis-py refuses bad options of a URL at the first connection."""
    from redis.exceptions import RedisError

    from .._core.protocol.transport_errors import TransportError
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

    answers = AccessDenied | SchemaMismatch | StoreError | StoreFull
    silences = NotReplicated | OutcomeUnknown | StoreUnavailable | TransportError
    if isinstance(problem, answers | silences):
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
    except OSError as problem:
        return _end_unwritten(problem)
    _drop_output()
    return BROKEN_PIPE


def _end_unwritten(problem: OSError) -> int:
    """Say that the output could not be written, and return the exit code."""
    _drop_output()
    with suppress(OSError):
        detail = "The command may have done its work: look before you repeat it"
        print(f"error cannot write the output: {problem.strerror}. {detail}", file=sys.stderr)
    return UNWRITTEN


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that the end of the process does not fail at it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    main()
