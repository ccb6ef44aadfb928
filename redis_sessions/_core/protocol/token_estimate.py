"""Estimate the tokens of a payload without a tokenizer.

The estimate is a quarter of the UTF-8 bytes that a model sees, plus 1. An image, a recording or a file costs a flat number
of tokens, because its price does not depend on the size of its base64 text. Inside arguments and results a vendor sees text,
also where the text looks like base64 or a data URL. Encrypted reasoning costs at most `OPAQUE_TOKENS`. Fields that only
software reads cost nothing (`UNSEEN`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import repeat
from typing import Any

IMAGE_TOKENS = 1000
"""The default cost of an image, a recording or a file."""
OPAQUE_TOKENS = 100
"""The most that one signature or one encrypted reasoning costs."""
MAX_DEPTH = 400
"""The estimate ignores parts that are nested deeper. The store refuses such a payload."""

UNSEEN = frozenset({
    "role", "type", "kind", "part_kind", "object", "id", "uuid", "message_id", "call_id", "tool_call_id",
    "toolCallId", "tool_use_id", "toolUseId", "item_id", "run_id", "response_id", "provider_response_id",
    "conversation_id", "session_id", "sessionId", "parentUuid", "requestId", "leafUuid", "timestamp", "created",
    "created_at", "createdAt", "metadata", "usage", "usage_metadata", "response_metadata", "provider_metadata",
    "providerMetadata", "providerOptions", "provider_details", "provider_name", "provider_url", "model",
    "model_name", "status", "finish_reason", "finishReason", "stop_reason", "stop_sequence", "logprobs",
    "cache_control", "cachePoint", "artifact", "toolUseResult", "cwd", "gitBranch", "version", "userType"
})  # fmt: skip
"""The keys of a message and of its parts that a model does not see. Inside arguments and results every key counts."""

_ARGUMENT_KEYS = frozenset(
    ("arguments", "args", "input", "parameters", "action", "rawInput", "input_schema", "inputSchema")
)
_RESULT_KEYS = frozenset(("output", "result", "response", "json", "structuredContent", "structured_content"))
_RESULT_LISTS = ("output", "value")
"""The keys of a result under which a vendor has parts, apart from `content`."""
_OPAQUE_KEYS = frozenset(("thoughtSignature", "thought_signature", "signature", "redactedContent", "redacted_content"))
_BINARY_KEYS = frozenset(("data", "bytes", "b64_json", "base64", "image", "audio", "video", "file_data", "body"))
_SPECIAL_KEYS = _OPAQUE_KEYS | _BINARY_KEYS
_CARRIERS = _BINARY_KEYS | frozenset(
    ("url", "uri", "image_url", "file_url", "fileUri", "file_uri", "file", "file_id", "fileId", "s3Location")
)
_MEDIA_FIELDS = _CARRIERS | frozenset(
    ("detail", "format", "mime_type", "mimeType", "media_type", "mediaType", "source_type")
)
_MEDIA_TYPES = frozenset({
    "image_url", "input_image", "input_audio", "input_file", "input_video", "audio_url", "video_url", "image_file",
    "computer_screenshot", "media", "image-url", "audio-url", "video-url", "document-url", "file-url", "image-data",
    "file-data", "image-file-id", "file-id", "binary"
})  # fmt: skip
_MEDIA_WORDS = _MEDIA_TYPES | frozenset(("image", "document", "audio", "video", "file", "pdf"))
_MEDIA_KEYS = frozenset(("inlineData", "inline_data", "fileData", "file_data"))
_CHAT_KEYS = frozenset(("role", "content", "tool_calls", "tool_call_id"))
_CALL_KEYS = frozenset(("id", "type", "function", "index"))
_SOURCE_TYPES = ("base64", "url", "file")
_RENAMED = {
    "redacted_thinking": ("data", "redacted_content"),
    "reasoning": ("encrypted_content", "redacted_content"),
    "image_generation_call": ("result", "b64_json"),
    "text": ("data", "text"),
}
"""For each type of a part the key of a value that means something else in other parts, and a key that says what it is."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n]++={0,2}[\r\n]*+")
_MIN_BASE64 = 1000
_MAX_PLAIN_BITS = 10_000

# How a value is read: as a part of a message, as a part of an image, as arguments of a tool, or as the result of a tool.
_PART, _MEDIA, _ARGUMENTS, _RESULT = range(4)
_MODES = dict.fromkeys(_ARGUMENT_KEYS, _ARGUMENTS) | dict.fromkeys(_RESULT_KEYS, _RESULT)
_TEXT_KEYS = frozenset(_MODES) | {"content", "text"}
"""The keys whose strings are text, also if they begin as a data URL."""


def estimate_tokens(payload: dict[str, Any], image_tokens: int = IMAGE_TOKENS) -> int:
    """Return the default estimate: a quarter of the UTF-8 bytes that a model sees, plus 1.

    The content of a message counts as text if it is a string, whatever it holds. The time is linear in the payload's size.

    Args:
        payload: a JSON object.
        image_tokens: the cost of each image, recording and file.
    """
    content = payload.get("content")
    if len(payload) == 2 and "role" in payload and isinstance(content, str):
        return _size(content) // 4 + 1
    if "tool_calls" in payload or "tool_call_id" in payload:
        chat_size = _chat_size(payload, content)
        if chat_size is not None:
            return chat_size // 4 + 1
    if not isinstance(content, str):
        size, flat = _cost(payload, image_tokens)
        return size // 4 + 1 + flat
    more, flat = _cost({key: part for key, part in payload.items() if key != "content"}, image_tokens)
    return (_size(content) + more) // 4 + 1 + flat


def _chat_size(payload: dict[str, Any], content: Any) -> int | None:
    """Return what `_cost` returns for the usual call or result of OpenAI chat, in a fraction of the time. None for others."""
    if not _CHAT_KEYS.issuperset(payload) or not (content is None or type(content) is str):
        return None
    size = 0 if content is None else _size(content)
    calls = payload.get("tool_calls", ())
    if type(calls) is not list and calls != ():
        return None
    for call in calls:
        function = call.get("function") if type(call) is dict and _CALL_KEYS.issuperset(call) else None
        if type(function) is not dict or len(function) != 2:
            return None
        name, arguments = function.get("name"), function.get("arguments")
        if type(name) is not str or type(arguments) is not str:
            return None
        size += _size(name) + _size(arguments)
    return size


class _Sums:
    """The bytes of text and the flat tokens of what was read so far, and the dicts and lists that are left to read."""

    __slots__ = ("flat", "image_tokens", "left", "size")

    def __init__(self, image_tokens: int) -> None:
        self.image_tokens = image_tokens
        self.size = self.flat = 0
        self.left: list[tuple[str, Any, int, int]] = []

    def read_parts(self, items: Iterable[tuple[str, Any]], depth: int) -> None:
        """Read parts of a message. Keys, numbers and `UNSEEN` fields do not count."""
        for key, part in items:
            if key in UNSEEN:
                continue
            if isinstance(part, str):
                if key in _SPECIAL_KEYS or (part.startswith("data:") and key not in _TEXT_KEYS):
                    self.read_special(key, part, _PART)
                else:
                    self.size += len(part) if part.isascii() else _size(part)
            elif isinstance(part, dict):
                is_result = key == "content" and not isinstance(part.get("parts"), list)  # else the content of Gemini
                self.left.append((key, part, _RESULT if is_result else _MODES.get(key, _PART), depth))
            elif isinstance(part, list):
                self.left.append((key, part, _MODES.get(key, _PART), depth))

    def read_all(self, items: Iterable[tuple[str, Any]], mode: int, depth: int) -> None:
        """Read arguments or a result, where numbers count, too, or parts of an image."""
        for key, part in items:
            if isinstance(part, str):
                if mode == _MEDIA:
                    self.read_special(key, part, mode)
                else:
                    self.size += _size(part) + 1
            elif isinstance(part, dict | list):
                self.left.append((key, part, mode, depth))
            elif mode != _MEDIA:
                self.size += _number_size(part) + 1

    def read_special(self, key: str, text: str, mode: int) -> None:
        """Read a string that may be encoded data."""
        tokens = _flat_cost(key, text, mode, self.image_tokens)
        if tokens is None:
            self.size += _size(text)
        else:
            self.flat += tokens


def _cost(payload: dict[str, Any], image_tokens: int) -> tuple[int, int]:
    """Return the bytes of text and the flat tokens of a payload. A list of what is left keeps deep payloads from recursing."""
    sums = _Sums(image_tokens)
    sums.left.append(("", payload, _PART, 0))
    while sums.left:
        key, value, mode, depth = sums.left.pop()
        if depth > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            if _is_media(key, value, mode):
                mode = _MEDIA
                sums.flat += image_tokens
            if mode == _PART:
                value = _once(value)
            elif mode == _MEDIA:
                value = {name: part for name, part in value.items() if name not in UNSEEN}
            else:
                sums.size += sum([_size(name) + 1 for name in value])
            items: Iterable[tuple[str, Any]] = value.items()
        else:
            items = zip(repeat("" if key == "content" else key), value, strict=False)
        if mode == _PART:
            sums.read_parts(items, depth + 1)
        else:
            sums.read_all(items, mode, depth + 1)
    return sums.size, sums.flat


def _once(value: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a message without second copies of tool calls, and with encoded data and text under keys of their own."""
    if value.get("tool_calls"):
        copies = _copied_keys(value)
        return {key: part for key, part in value.items() if key not in copies}
    kind = value.get("type")
    old, new = _RENAMED.get(kind, ("", "")) if isinstance(kind, str) else ("", "")
    return {new if key == old else key: part for key, part in value.items()} if old in value else value


def _copied_keys(value: dict[str, Any]) -> tuple[str, ...]:
    """Return the keys under which LangChain keeps a second copy of tool calls."""
    content = value.get("content")
    blocks = content if isinstance(content, list) else []
    if any(isinstance(block, dict) and block.get("type") == "tool_use" for block in blocks):
        return ("additional_kwargs", "tool_calls")
    return ("additional_kwargs",)


def _is_media(key: str, value: dict[str, Any], mode: int) -> bool:
    """Return True for an object that stands for one image, recording or file, in the form of any vendor.

    Inside a result only the parts of a vendor do: the items of `content`, and what has a type that only vendors use.
    """
    kind = value.get("type") or value.get("kind")
    if mode == _RESULT and kind == "binary" and "media_type" in value:
        return "data" in value  # of pydantic-ai, which has them at any place of a result
    if mode == _RESULT and key != "":
        return key in _RESULT_LISTS and isinstance(kind, str) and kind in _MEDIA_TYPES
    if mode not in (_PART, _RESULT):
        return False
    if isinstance(kind, str) and kind in _MEDIA_WORDS and (kind in _MEDIA_TYPES or not _CARRIERS.isdisjoint(value)):
        return True
    if "source" in value and isinstance(value["source"], dict):
        source = value["source"]
        return source.get("type") in _SOURCE_TYPES or "bytes" in source or "s3Location" in source
    return key in _MEDIA_KEYS


def _flat_cost(key: str, text: str, mode: int, image_tokens: int) -> int | None:
    """Return the flat tokens of a string, or None if its bytes count."""
    if mode == _MEDIA:
        return 0 if key in _MEDIA_FIELDS or _is_data_url(text) or _is_base64(text) else None
    if key in _OPAQUE_KEYS:
        return min(OPAQUE_TOKENS, len(text) // 4)
    if _is_data_url(text):
        return image_tokens
    return image_tokens if key in _BINARY_KEYS and _is_base64(text) else None


def _is_data_url(text: str) -> bool:
    return text.startswith("data:") and text.find(";base64,", 0, 256) > 0


def _is_base64(text: str) -> bool:
    return len(text) >= _MIN_BASE64 and _BASE64.fullmatch(text) is not None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _number_size(value: Any) -> int:
    """Return the length of a number, true, false or null as text."""
    if value is None or isinstance(value, bool):
        return 4
    if isinstance(value, int) and value.bit_length() > _MAX_PLAIN_BITS:
        return value.bit_length() // 3
    return len(str(value)) if isinstance(value, int | float) else 0
