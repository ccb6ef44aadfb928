"""Documents with their times."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

DocumentForm = Literal["json", "text", "bytes"]


class Document(NamedTuple):
    """A document of a category, with its value and its times."""

    name: str
    """The name."""
    form: DocumentForm
    """json, text or bytes. A name can have all three forms."""
    value: Any
    """The JSON value, the text or the bytes."""
    created_at: datetime
    """The time at which the document was stored first."""
    updated_at: datetime
    """The time at which the document was stored last."""
    expires_at: datetime | None
    """The time at which the document expires, None for never."""
