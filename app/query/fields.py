"""Describes the fields that lists are filtered by, and turns a filter into a condition.

Which fields a list has is told beside the list; reading the caller's parameters is done in `filters`.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Table, and_, cast, false, func, or_, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from app.ids import first_id_at
from app.query.beginnings import begins_folded, begins_lower
from app.query.merged import is_or_became
from app.query.values import (
    Context,
    Fault,
    Span,
    parse_boolean,
    parse_date,
    parse_decimal,
    parse_id,
    parse_integer,
    parse_json,
    parse_provider,
    parse_source,
    parse_span,
    parse_text,
)

Condition = ColumnElement[bool]


class Kind(StrEnum):
    """What sort of value a field holds."""

    TEXT = "text"
    WORD = "word"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    ID = "id"
    JSON = "json"


class Op(StrEnum):
    """How a field is compared; `eq` is written without brackets."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"
    PREFIX = "prefix"
    NULL = "null"
    CONTAINS = "contains"


_RANGE = (Op.GT, Op.GTE, Op.LT, Op.LTE)
_OPS: Mapping[Kind, tuple[Op, ...]] = {
    Kind.TEXT: (Op.EQ, Op.NE, Op.IN, Op.NIN),
    Kind.WORD: (Op.EQ, Op.NE, Op.IN, Op.NIN),
    Kind.INTEGER: (Op.EQ, Op.NE, *_RANGE, Op.IN, Op.NIN),
    Kind.DECIMAL: (Op.EQ, Op.NE, *_RANGE, Op.IN, Op.NIN),
    Kind.BOOLEAN: (Op.EQ, Op.NE),
    Kind.DATE: (Op.EQ, Op.NE, *_RANGE, Op.IN, Op.NIN),
    Kind.INSTANT: (Op.EQ, Op.NE, *_RANGE),
    Kind.ID: (Op.EQ, Op.NE, Op.IN, Op.NIN),
    Kind.JSON: (Op.CONTAINS,),
}
_SPLIT_IN_EQUALITY = frozenset({Kind.WORD, Kind.INTEGER, Kind.ID})
_PARSERS: Mapping[Kind, Callable[[str, Context], Any]] = {
    Kind.TEXT: parse_text,
    Kind.WORD: parse_text,
    Kind.INTEGER: parse_integer,
    Kind.DECIMAL: parse_decimal,
    Kind.BOOLEAN: parse_boolean,
    Kind.DATE: parse_date,
    Kind.INSTANT: parse_span,
    Kind.ID: parse_id,
    Kind.JSON: parse_json,
}
_COMPARISONS: Mapping[Op, Callable[[ColumnElement[Any], Any], Condition]] = {
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}
_MOST_ALTERNATIVES = 100
"""How many conditions one parameter may make; values that go into one list are as many as the request can hold."""
EARLIER, LATER = timedelta(minutes=1), timedelta(minutes=1)
"""How far an id's time may lie off the receipt; a pushed delivery has both from one reading of the clock."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """Ids from `low` to `high`, both among them."""

    low: UUID
    high: UUID

    def within(self, other: "IdRange") -> "IdRange":
        """Return the ids that are in both."""
        return IdRange(max(self.low, other.low), min(self.high, other.high))


ANY_ID: Final = IdRange(UUID(int=0), UUID(int=(1 << 128) - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field that a list can be filtered by.

    `words` is a closed list of values and what the database holds for each; `parse` reads values that need more than
    their kind, a tuple of values means any of them. `folded` is where the text without case and accents stands;
    `plain_prefix` allows `[prefix]` on a name in lower case. `id_range` is the id column that carries the same time.
    `among` puts the condition into a wider one, such as a question about a neighbour; `build` replaces the usual
    conditions of `eq` and `in`. `few` is set where only a few rows have the same value, and an index leads to them.
    `merged` is the table of the records whose ids these are, where they may turn out to be others.
    `asks_personal` tells whether a value asks by something personal, where the field as such is not.
    """

    column: ColumnElement[Any]
    kind: Kind
    nullable: bool = True
    words: Mapping[str, Any] | None = None
    parse: Callable[[str, Context], Any] | None = None
    folded: ColumnElement[str] | None = None
    plain_prefix: bool = False
    id_range: ColumnElement[UUID] | None = None
    personal: bool = False
    among: Callable[[Condition, Context], Condition] | None = None
    build: Callable[[Sequence[Any], Context], Condition] | None = None
    about: str = ""
    few: bool = False
    merged: Table | None = None
    asks_personal: Callable[[str], bool] = lambda _: False

    @property
    def ops(self) -> tuple[Op, ...]:
        """Return the operators that make sense here."""
        prefix = (Op.PREFIX,) if self.folded is not None or self.plain_prefix else ()
        return (*_OPS[self.kind], *prefix, *((Op.NULL,) if self.nullable else ()))

    def condition(self, op: Op, texts: Sequence[str], context: Context) -> Condition:
        """Return the condition of one parameter, given once or more often ("or").

        Raises:
            Fault: a value cannot be used.
        """
        if op in (Op.EQ, Op.IN):
            values = [value for text in texts for value in self._values(op, text, context)]
            return self._among(self._any_of(values, context), context)
        _check_number(texts)
        return or_(*(self._one(op, text, context) for text in texts))

    def only_value(self, op: Op, texts: Sequence[str], context: Context) -> Any:
        """Return the value of a plain column that rows must have, None where that is not all that is asked."""
        if op not in (Op.EQ, Op.IN) or self.among is not None or self.build is not None or self.merged is not None:
            return None
        values = [value for text in texts for value in self._values(op, text, context)]
        return values[0] if len(values) == 1 else None

    def _among(self, condition: Condition, context: Context) -> Condition:
        return condition if self.among is None else self.among(condition, context)

    def ids(self, op: Op, text: str, context: Context) -> "IdRange":
        """Return between which ids all rows lie that fit."""
        if self.id_range is None or op in (Op.NE, Op.NULL):
            return ANY_ID
        span = parse_span(text, context)
        low, high = first_id_at(span.start - EARLIER), first_id_at(span.end + LATER)
        return IdRange(ANY_ID.low if op in (Op.LT, Op.LTE) else low, ANY_ID.high if op in (Op.GT, Op.GTE) else high)

    def splits(self, op: Op) -> bool:
        """Tell whether a comma separates values."""
        return op in (Op.IN, Op.NIN) or (op is Op.EQ and self.kind in _SPLIT_IN_EQUALITY)

    def _values(self, op: Op, text: str, context: Context) -> list[Any]:
        values: list[Any] = []
        for word in text.split(",") if self.splits(op) else [text]:
            value = self._value(word, context)
            values.extend(value if isinstance(value, tuple) else [value])
        return values

    def _value(self, text: str, context: Context) -> Any:
        if self.words is not None:
            if text not in self.words:
                raise Fault("unknown-value", f"is none of these: {', '.join(self.words)}")
            return self.words[text]
        if text == "" and self.kind is Kind.WORD:
            raise Fault("empty", "is empty; ask with [null] for what is not known")
        return (self.parse or _PARSERS[self.kind])(text, context)

    @property
    def _comparable(self) -> ColumnElement[Any]:
        """Return the column in a type that takes every value: a number beyond it is no error, it matches nothing."""
        return type_coerce(self.column, BigInteger()) if self.kind is Kind.INTEGER else self.column

    def _any_of(self, values: Sequence[Any], context: Context) -> Condition:
        if self.build is not None or self.kind in (Kind.INSTANT, Kind.BOOLEAN):
            _check_number(values)
        if self.build is not None:
            return self.build(values, context)
        if self.kind is Kind.INSTANT:
            return or_(*(self._in_span(span) for span in values))
        if self.kind is Kind.BOOLEAN:
            return or_(*(self.column.is_(value) for value in values))
        values = list(dict.fromkeys(values))
        if self.merged is not None:
            return is_or_became(self.column, values, self.merged)
        return self._comparable == values[0] if len(values) == 1 else self._comparable.in_(values)

    def _in_span(self, span: Span) -> Condition:
        inside = and_(self.column >= span.start, self.column < span.end)
        return and_(inside, self._ids_from(span), self._ids_until(span))

    def _one(self, op: Op, text: str, context: Context) -> Condition:
        if op is Op.NULL:  # nothing is known of a neighbour that there is not
            is_known = self._among(self.column.is_not(None), context)
            return ~is_known if parse_boolean(text, context) else is_known
        if op in (Op.NE, Op.NIN):  # what is not known is not that value either
            found = self._any_of(self._values(op, text, context), context)
            return ~func.coalesce(self._among(found, context), false())
        return self._among(self._compared(op, text, context), context)

    def _compared(self, op: Op, text: str, context: Context) -> Condition:
        if op is Op.PREFIX:
            return self._begins_with(text)
        (value,) = self._values(op, text, context)
        if op is Op.CONTAINS:
            return cast(self.column, JSONB).contains(value)  # items are kept as JSON, as they came
        if isinstance(value, Span):
            return self._beside_span(op, value)
        column = self._comparable
        return _COMPARISONS[op](column, value)

    def _beside_span(self, op: Op, span: Span) -> Condition:
        if op in (Op.GT, Op.GTE):
            return and_(self.column >= (span.end if op is Op.GT else span.start), self._ids_from(span))
        return and_(self.column < (span.end if op is Op.LTE else span.start), self._ids_until(span))

    def _ids_from(self, span: Span) -> Condition:
        """Return the range of ids in which rows since then lie, so that older months are not looked at."""
        return and_(True, *([self.id_range >= first_id_at(span.start - EARLIER)] if self.id_range is not None else []))  # noqa: FBT003

    def _ids_until(self, span: Span) -> Condition:
        return and_(True, *([self.id_range < first_id_at(span.end + LATER)] if self.id_range is not None else []))  # noqa: FBT003

    def _begins_with(self, text: str) -> Condition:
        if self.folded is None:
            return begins_lower(self.column, text)
        return begins_folded(self.column, self.folded, text)


def _check_number(values: Sequence[Any]) -> None:
    """Refuse more alternatives than a statement can be made of in no time."""
    if len(values) > _MOST_ALTERNATIVES:
        raise Fault("too-many-values", f"has more than {_MOST_ALTERNATIVES} values; ask in several questions")


def of_column(table: Table, name: str, kind: Kind, **more: Any) -> Field:
    """Return the field of a column; text of a record can be asked for by its folded beginning."""
    column = table.c[name]
    if kind is Kind.TEXT and "folded" in table.c and "folded" not in more and "words" not in more:
        more["folded"] = type_coerce(table.c.folded, JSONB)[name].astext
    return Field(column=column, kind=kind, nullable=bool(column.nullable), **more)


def source_fields(table: Table) -> dict[str, Field]:
    """Return `source` and `provider`, which are looked up before the question is asked."""
    return {
        "source": Field(column=table.c.source_id, kind=Kind.WORD, nullable=False, parse=parse_source),
        "provider": Field(column=table.c.source_id, kind=Kind.WORD, nullable=False, parse=parse_provider),
    }
