"""Tell a Unix socket from another kind of file."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from ..._core.protocol.transport_errors import ConnectImpossible


def check_is_socket(connection: Any) -> None:
    """Raise ConnectImpossible if a connection leads to a path that is a folder or a regular file."""
    path = getattr(connection, "path", None)
    try:
        is_socket = path is None or stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return
    if not is_socket:
        raise ConnectImpossible(f"{path} is not a socket; not retried, because waiting cannot mend it")
