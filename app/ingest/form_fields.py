"""Reads form-encoded bodies that mean JSON: one field that holds it, or bracketed names as PHP writes them.

Everything that is JSON in itself is `lenient_json`'s; `parse_body` tries that first, whatever the content type says.
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from app.ingest.lenient_json import NotJsonError, Parsed, parse

_LOOKS_ENCODED = re.compile(rb"[\w.%+\-\[\]]{1,200}=")
_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_INNER = re.compile(r"\[([^\[\]]*)\]")
_MAX_FIELDS = 20_000
_MAX_LEVELS = 20
_MAX_TRIED = 20

Field = tuple[str, bytes]


def parse_body(body: bytes, content_type: str) -> Parsed:
    """Return the value of a body that is JSON, or form-encoded JSON, or bracketed form fields (all values text).

    Raises:
        NotJsonError: it is none of these.
    """
    try:
        return parse(body)
    except NotJsonError:
        if "form-urlencoded" not in content_type.lower() and _LOOKS_ENCODED.match(body) is None:
            raise
    fields = _fields(body)
    found = _json_field(fields) or _bracketed(fields)
    if found is None:
        raise NotJsonError("form fields without JSON")
    return found


def _fields(body: bytes) -> list[Field]:
    """Return names and values, percent-decoded."""
    parts = body.split(b"&", _MAX_FIELDS)
    if len(parts) > _MAX_FIELDS:
        raise NotJsonError("too many form fields")
    fields = []
    for part in parts:
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        fields.append((_text(unquote_to_bytes(name)), unquote_to_bytes(value)))
    return fields


def _json_field(fields: list[Field]) -> Parsed | None:
    """Return the first field that holds a JSON object or array."""
    tried = 0
    for _, value in fields:
        if tried < _MAX_TRIED and value.lstrip()[:1] in (b"{", b"["):
            tried += 1
            try:
                return parse(value)
            except NotJsonError:
                continue
    return None


def _bracketed(fields: list[Field]) -> Parsed | None:
    """Return the object that names such as `data[iId]` build; fields without brackets stand beside them."""
    root: dict[str, Any] = {}
    any_brackets = False
    for name, value in fields:
        match = _BRACKETED.fullmatch(name.strip())
        path = [name.strip()]
        if match is not None:
            path = [match[1], *_INNER.findall(match[2])]
        if len(path) <= _MAX_LEVELS:
            any_brackets = any_brackets or match is not None
            _put(root, path, _text(value))
    return Parsed(root) if any_brackets else None


def _put(root: dict[str, Any], path: list[str], value: str) -> None:
    """Set `value` at `path`; an empty name counts up, as PHP's `[]` does."""
    here = root
    for name in path[:-1]:
        inner = here.setdefault(name or str(len(here)), {})
        if not isinstance(inner, dict):
            return
        here = inner
    here[path[-1] or str(len(here))] = value


def _text(value: bytes) -> str:
    """Return decoded text that PostgreSQL takes."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("cp1252", "replace")
    return text.replace("\x00", "\ufffd")
