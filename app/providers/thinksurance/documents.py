"""Reads the documents holder of an item, in each of the forms in which it may come.

Fetching the files is the documents job's; link and token go to it encrypted.
"""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any

from app.ingest.contract import Part
from app.providers.dates import find_day, find_instant
from app.providers.tables import Notes, as_list, read_rows, record_key
from app.providers.thinksurance.fields import FILE, FILE_NAMES, HOLDER_NAMES, TOKEN_NAMES
from app.providers.values import is_unknown, text
from app.times import to_text

_MARKS = HOLDER_NAMES | {"hash"}


def read_documents(
    docs: Any, inquiry_id: int, broker: str | None, broker_token: str | None, zone: tzinfo, notes: Notes
) -> tuple[Part, ...]:
    """Return a part for each file that has a hash; of a hash that comes twice the last.

    The broker's token goes with each, for a file is asked for with the token of its inquiry's broker.
    """
    parts: dict[str, Part] = {}
    for holder, path in _holders(docs, notes):
        token, expires_at = _token(holder, path, zone, notes)
        for file, where in _files(holder, path, notes):
            part = _document(file, where, notes)
            if part is None:
                continue
            fields, secrets = part
            if token is not None:
                secrets["token"] = token
            if broker_token is not None:
                secrets["broker_token"] = broker_token
            if expires_at is not None:
                fields["token_expires_at"] = expires_at
            if broker is not None:
                fields["broker_external_id"] = broker
            fields["inquiry_id"] = inquiry_id
            digest = fields["hash"]
            parts[digest] = Part("document", (record_key("", str(inquiry_id), digest),), fields, secrets)
    return tuple(parts.values())


def _holders(docs: Any, notes: Notes) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the holders with their paths.

    The table says array, its text says a root object (IP Notification Response, Documents Holder Scheme); both are
    taken, and an empty array for none. The text also calls it a list of documents, so one may stand for its holder.
    As the page has both, neither is noted; so it is with `docToken`.
    """
    if is_unknown(docs):
        return
    if isinstance(docs, dict) and not docs.keys().isdisjoint(_MARKS):
        yield docs, "docs"
        return
    members = as_list(docs)
    if not members:
        notes.add("docs", "wrong-type")
    for index, member in members:
        if isinstance(member, dict):
            yield member, f"docs.{index}"
        elif not is_unknown(member):
            notes.add(f"docs.{index}", "wrong-type")


def _files(holder: Mapping[str, Any], path: str, notes: Notes) -> Iterator[tuple[Any, str]]:
    """Yield the files of a holder with their paths."""
    if "hash" in holder and "files" not in holder:
        yield holder, path
        return
    files = holder.get("files")
    members = as_list(files)
    if not members and isinstance(files, dict) and "hash" in files:
        yield files, f"{path}.files"
    elif not members and not is_unknown(files):
        notes.add(f"{path}.files", "wrong-type")
    for index, file in members:
        yield file, f"{path}.files.{index}"
    notes.unknown_names(f"{path}.", holder, HOLDER_NAMES)


def _token(holder: Mapping[str, Any], path: str, zone: tzinfo, notes: Notes) -> tuple[str | None, str | None]:
    """Return the token for links and when it expires.

    Called a string in the table but defined by a scheme of two fields. The form of `expired` is not documented; by
    analogy with the API's tokens it is MySQL's, without a zone.
    """
    token = holder.get("docToken")
    if is_unknown(token):
        return None, None
    where = f"{path}.docToken"
    expired = None
    if isinstance(token, dict):
        notes.unknown_names(f"{where}.", token, TOKEN_NAMES)
        expired, token = token.get("expired"), token.get("token")
    value = None if is_unknown(token) else text(token, notes.on(where))
    if is_unknown(expired):
        return value, None
    moment = find_instant(expired, zone)
    if moment is None:
        notes.add(f"{where}.expired", "date-without-time" if find_day(expired) else "not-a-time")
        return value, None
    return value, to_text(moment)


def _document(file: Any, path: str, notes: Notes) -> tuple[dict[str, Any], dict[str, str]] | None:
    """Return fields and secrets of a file; without its hash it has no identity."""
    if not isinstance(file, dict):
        notes.add(path, "wrong-type")
        return None
    fields = read_rows(FILE, file, f"{path}.", notes)
    notes.unknown_names(f"{path}.", file, FILE_NAMES)
    if "hash" not in fields:
        notes.add(f"{path}.hash", "missing")
        return None
    link = file.get("fullFilePath")
    secrets = {}
    if not is_unknown(link):
        found = text(link, notes.on(f"{path}.fullFilePath"))
        if found is not None:
            secrets["link"] = found
    return fields, secrets
