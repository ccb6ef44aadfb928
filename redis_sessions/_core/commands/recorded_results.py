"""Results that scripts recorded under an operation ID, and the kind of operation that each belongs to.

The result of an append is numbers. A send whose message waits records 'queued …', a spawn 'spawned …', and an edit its
kind in front. The result of a guarded write that a caller can name has the kind behind the revision: '12 compact 3'.
"""

from __future__ import annotations

from ...errors import OperationConflict

APPEND = "append"


def words_of(result: bytes, kind: str, batch_id: str) -> list[bytes]:
    """Return the words of a recorded result, without its kind. Raises OperationConflict for a result of another kind.

    Args:
        kind: the kind as it is recorded: 'append' for numbers only.
        batch_id: the ID under which the result is recorded.
    """
    words = result.split()
    at = next((at for at, word in enumerate(words[:2]) if not word.isdigit()), None)
    found = APPEND if at is None else words[at].decode()
    if found != kind:
        raise OperationConflict.of(batch_id, kind, found)
    if at is not None:
        del words[at]
    return words
