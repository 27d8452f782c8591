"""Reads the parameters of a list: filters, order, limit and cursor, with its slips named at once.

Conditions are made by `fields`; the statement they go into by `lists`.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.accounts.model import Access
from app.crypto import mask_tokens
from app.problems import Invalid
from app.query.access import FieldHidden
from app.query.cursor import Binding, Position, read_cursor
from app.query.fields import ANY_ID, Condition, Field, IdRange, Op
from app.query.personal import may_see
from app.query.values import Context, Fault, check_text
from app.times import from_epoch_ms

LIMIT_DEFAULT = 50
LIMIT_MOST = 500
ORDERS = ("desc", "asc")
SORT = "sort"
PLAIN = ("limit", "cursor", "order")
"""The parameters of every list that are no filters."""

_NAME = re.compile(r"([a-z][a-z0-9_.]*)(?:\[([a-z]*)\])?")
_LONGEST_NAME = 100
_MOST_SLIPS = 20

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks of a list, read and checked. `binding` is what its cursors are good for.

    All rows that fit have an id within `ids`; `finds_few` where a filter leads to a few rows by an index of its own.
    `only` is the one filter that there is, by a column and its value.
    """

    conditions: Sequence[Condition]
    order: str
    limit: int
    position: Position | None
    binding: Binding
    asked_at: datetime
    by_personal: bool
    sort: str | None = None
    ids: IdRange = ANY_ID
    finds_few: bool = False
    only: tuple[str, Any] | None = None


class Slips:
    """Collects what is wrong in the parameters of one request; the first twenty, for each lists what there is."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def add(self, name: str, code: str, detail: str) -> None:
        """Note one; `detail` never repeats the value, and what is no name may be a token."""
        if not self.is_full:
            shown = mask_tokens(name)[:_LONGEST_NAME]
            self.errors.append({"in": "query", "name": shown, "code": code, "detail": detail})

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many as are told, so that looking for more is no use."""
        return len(self.errors) >= _MOST_SLIPS

    def check(self) -> None:
        """Raise Invalid if there are any."""
        if self.errors:
            first = self.errors[0]
            what, more, _ = first["detail"].partition("; there are")
            raise Invalid(
                f"The parameter `{first['name']}` {what}{'; `errors` lists what there is' if more else ''}.",
                errors=self.errors,
            )


def usable(parameters: Parameters, slips: Slips) -> dict[str, list[str]]:
    """Return the values by parameter name, without those that no text column can hold."""
    found: dict[str, list[str]] = {}
    for name, text in parameters:
        try:
            check_text(name)
            check_text(text)
        except Fault as fault:
            slips.add(name.encode("utf-8", "replace").decode().replace("\x00", "?"), fault.code, fault.detail)
        else:
            found.setdefault(name, []).append(text)
    return found


def read_question(
    resource: str,
    fields: Mapping[str, Field],
    parameters: Parameters,
    context: Context,
    cursor_key: bytes,
    sorts: Sequence[str] = (),
) -> Question:
    """Return what is asked of a list, which may be sorted by the fields in `sorts`.

    Raises:
        Invalid: parameters are unknown or their values cannot be used; the first twenty are named.
        FieldHidden: a filter is by a field that the key may not see.
        CursorInvalid: the cursor belongs to another question.
    """
    slips = Slips()
    found = usable(parameters, slips)
    order = _one_of(found, "order", ORDERS, slips)
    limit = _limit(found, slips)
    cursor = _single(found, "cursor", slips)
    sort = _sort(found, sorts, slips)
    filters = {name: texts for name, texts in found.items() if name not in PLAIN}
    by_personal = _check_visible(filters, fields, context.access)
    way = f"{order} {sort}" if sort else order
    binding = Binding.of(resource, way, [(name, text) for name in filters for text in filters[name]], context.access)
    position = None
    if cursor is not None and not slips.errors:
        position = read_cursor(cursor_key, binding, cursor)
        if position.asked_at_ms is not None:
            context = replace(context, moment=from_epoch_ms(position.asked_at_ms))
    conditions = [
        condition
        for name, texts in filters.items()
        if not slips.is_full and (condition := _condition(name, texts, fields, context, slips)) is not None
    ]
    slips.check()
    reach = _reach(filters, fields, context)
    only = _only(filters, fields, context)
    return Question(conditions, order, limit, position, binding, context.moment, by_personal, sort, *reach, only)


def _only(filters: Mapping[str, list[str]], fields: Mapping[str, Field], context: Context) -> tuple[str, Any] | None:
    """Return the column and the value that a single filter asks for, None where it asks otherwise."""
    if len(filters) != 1:
        return None
    ((name, texts),) = filters.items()
    field, op = _asked(name, fields)
    value = field.only_value(op, texts, context)
    return None if value is None else (str(field.column.key), value)


def _asked(name: str, fields: Mapping[str, Field]) -> tuple[Field, Op]:
    """Return the field and the operator of a filter that is known to be right."""
    plain, mark, word = name.partition("[")
    return fields[plain], Op(word.rstrip("]")) if mark else Op.EQ


def _reach(filters: Mapping[str, list[str]], fields: Mapping[str, Field], context: Context) -> tuple[IdRange, bool]:
    """Return between which ids the rows lie as far as times say so, and whether they are few."""
    ids, finds_few = ANY_ID, False
    for name, texts in filters.items():
        field, op = _asked(name, fields)
        finds_few = finds_few or (field.few and op in (Op.EQ, Op.IN))
        if len(texts) == 1:
            ids = ids.within(field.ids(op, texts[0], context))
    return ids, finds_few


def _condition(
    name: str, texts: list[str], fields: Mapping[str, Field], context: Context, slips: Slips
) -> Condition | None:
    parsed = _NAME.fullmatch(name)
    field = fields.get(parsed[1]) if parsed else None
    if parsed is None or field is None:
        slips.add(name, "unknown-field", _unknown(name, fields))
        return None
    word = parsed[2]
    known = [op for op in field.ops if (op is Op.EQ) == (word is None)]
    op = next((op for op in known if word is None or op == word), None)
    if op is None:
        there_are = ", ".join("none for equality" if op is Op.EQ else f"[{op}]" for op in field.ops)
        slips.add(name, "unknown-operator", f"has no such operator; there are: {there_are}")
        return None
    try:
        return field.condition(op, texts, context)
    except Fault as fault:
        slips.add(name, fault.code, fault.detail)
        return None


def _unknown(name: str, fields: Mapping[str, Field]) -> str:
    if not fields:
        return f"is not known here; there are: {', '.join(PLAIN)}"
    plain = name.partition("[")[0][:_LONGEST_NAME]
    near = difflib.get_close_matches(plain, [*fields, *PLAIN], n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"is no field of this list{meant}; fields are: {', '.join(sorted(fields))}"


def _check_visible(filters: Mapping[str, Sequence[str]], fields: Mapping[str, Field], access: Access) -> bool:
    """Tell whether a filter is by something personal; refuse it where the key may not see it."""
    known = [(name, texts, fields.get(name.partition("[")[0])) for name, texts in filters.items()]
    personal = [
        name for name, texts, field in known if field and (field.personal or any(map(field.asks_personal, texts)))
    ]
    if personal and not may_see(access):
        raise FieldHidden(
            errors=[
                {"in": "query", "name": name, "code": "field-hidden", "detail": "is personal: needs read:personal"}
                for name in (one[:_LONGEST_NAME] for one in personal[:_MOST_SLIPS])
            ]
        )
    return bool(personal)


def _single(found: Mapping[str, list[str]], name: str, slips: Slips) -> str | None:
    texts = found.get(name)
    if texts is not None and len(texts) > 1:
        slips.add(name, "repeated", "may be given once only")
    return texts[0] if texts else None


def _one_of(found: Mapping[str, list[str]], name: str, words: Sequence[str], slips: Slips) -> str:
    text = _single(found, name, slips)
    if text is not None and text not in words:
        slips.add(name, "unknown-value", f"is none of these: {', '.join(words)}")
    return words[0] if text is None else text


def _sort(found: dict[str, list[str]], sorts: Sequence[str], slips: Slips) -> str | None:
    """Return the field to sort by; where there is none, `sort` remains a name that nobody knows."""
    if not sorts:
        return None
    sort = _single(found, SORT, slips)
    found.pop(SORT, None)
    if sort is not None and sort not in sorts:
        slips.add(SORT, "unknown-value", f"is none of these: {', '.join(sorts)}")
    return sort


def _limit(found: Mapping[str, list[str]], slips: Slips) -> int:
    text = _single(found, "limit", slips)
    if text is None:
        return LIMIT_DEFAULT
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= LIMIT_MOST:
        return int(text)
    slips.add("limit", "out-of-range", f"is no whole number from 1 to {LIMIT_MOST}")
    return LIMIT_DEFAULT
