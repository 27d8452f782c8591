"""Writes what the OpenAPI document says of lists: each parameter, each answer, each problem.

All of it is made from the resources, so that it cannot say anything else than what is done.
"""

from collections.abc import Callable, ItemsView, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from app.problems import Invalid, NotFound, Problem, described
from app.query.access import FieldHidden, Forbidden, Unauthorized
from app.query.cursor import CursorInvalid
from app.query.fields import Field, Kind, Op
from app.query.filters import LIMIT_DEFAULT, LIMIT_MOST, ORDERS
from app.query.kept import NotKept, TooMuchTold
from app.query.rate import TooManyRequests
from app.query.reading import DatabaseAway, TooSlow
from app.query.resource import Resource
from app.query.shaping import COUNTS, FIELDS

_ALWAYS = (Unauthorized, Forbidden, Invalid, TooManyRequests, TooSlow, DatabaseAway)

_SCHEMAS: Mapping[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.WORD: {"type": "string"},
    Kind.INTEGER: {"type": "integer", "format": "int64"},
    Kind.DECIMAL: {"type": "string", "format": "decimal"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string"},
    Kind.INSTANT: {"type": "string"},
    Kind.ID: {"type": "string", "format": "uuid"},
    Kind.JSON: {"type": "string"},
}
_EXAMPLES: Mapping[Kind, Any] = {
    Kind.INTEGER: 4,
    Kind.DECIMAL: "19",
    Kind.BOOLEAN: True,
    Kind.DATE: "2025-03-09",
    Kind.INSTANT: "2025-03-09T10:00:00Z",
    Kind.ID: "019a9c3e-1f00-7abc-8def-0123456789ab",
    Kind.JSON: '{"data":{"productId":81}}',
}
_ABOUT: Mapping[Op, str] = {
    Op.EQ: "equal to",
    Op.NE: "not equal to, or not known",
    Op.GT: "greater, later than",
    Op.GTE: "greater, later than or equal to",
    Op.LT: "less, earlier than",
    Op.LTE: "less, earlier than or equal to",
    Op.IN: "one of these",
    Op.NIN: "none of these, or not known",
    Op.PREFIX: "begins with",
    Op.CONTAINS: "holds this JSON",
    Op.NULL: "`true`: is not known; `false`: is known",
}
_FORMS: Mapping[Kind, str] = {
    Kind.DATE: "A date, or relative to today: `-7d`, `-2w`.",
    Kind.INSTANT: "RFC 3339 with a zone; a date means that whole day in the service's time zone; "
    "relative to now: `-15m`, `-24h`, `-7d`.",
}


class OnDemand(dict[str, Any]):
    """A part of the document that is costly to make: made when FastAPI writes the document, which few starts see."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._make = make

    def __bool__(self) -> bool:
        """Say that there is something in it."""
        return True

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # the built-in's own type cannot be named
        """Make it; this is where FastAPI begins to read it."""
        if not len(self):
            self.update(self._make())
        return super().items()


def list_problems(*more: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the problems of a list, and what else there may be."""
    return described(*_ALWAYS, FieldHidden, CursorInvalid, *more)


def detail_problems() -> dict[int | str, dict[str, Any]]:
    """Return the problems of whatever has an id in its path."""
    return described(*_ALWAYS, FieldHidden, NotFound)


def described_detail(schema: type[BaseModel], *parameters: dict[str, Any], problems: Any = None) -> dict[str, Any]:
    """Return what FastAPI is told of a detail: its answers, 304 among them, and the parameters besides its path's."""
    unchanged = {304: {"description": "It is what `If-None-Match` names."}}
    return {
        "responses": {200: {"model": schema, "description": "It."}, **unchanged, **(problems or detail_problems())},
        "openapi_extra": {"parameters": [*parameters, _IF_NONE_MATCH]},
    }


def past_problems() -> dict[int | str, dict[str, Any]]:
    """Return the problems of a record as it was."""
    return described(*_ALWAYS, FieldHidden, NotFound, NotKept, TooMuchTold)


def history_problems() -> dict[int | str, dict[str, Any]]:
    """Return the problems of a history."""
    return described(*_ALWAYS, NotFound, CursorInvalid, TooMuchTold)


def list_parameters(resource: Resource) -> list[dict[str, Any]]:
    """Return every parameter of a list, each `field[op]` by itself."""
    about = "Sort by this field, in the direction of `order`; what is not known comes last. By `id` without it."
    sorts = [own_parameter("sort", about, resource.sorts[0], resource.sorts)] if resource.sorts else []
    return [
        *page_parameters(is_feed=resource.seq is not None),
        *sorts,
        *looks_parameters(resource.schema),
        *filter_parameters(resource),
    ]


def looks_parameters(schema: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the parameters that say how a list of such rows shall look."""
    count = own_parameter("count", "Count the rows of all pages; an estimate is quick.", COUNTS[0], COUNTS)
    return [_fields_parameter(schema), count]


def _fields_parameter(schema: type[BaseModel]) -> dict[str, Any]:
    names = tuple(schema.model_fields)
    always = ", `id`, and `redacted` where one of them is hidden" if "id" in names else ""
    return own_parameter(FIELDS, f"Only these fields{always}; separated by commas: {', '.join(names)}.", names[0])


def filter_parameters(resource: Resource) -> list[dict[str, Any]]:
    """Return the parameters by which rows are chosen."""
    return fields_parameters(resource.fields)


def fields_parameters(fields: Mapping[str, Field]) -> list[dict[str, Any]]:
    """Return the parameters of fields, each with its operators."""
    return [_filter(name, field, op) for name, field in sorted(fields.items()) for op in field.ops]


def stream_cursor() -> list[dict[str, Any]]:
    """Return the two ways to say where a stream goes on."""
    about = "Where to go on: an `id` of this stream, or `follow_cursor` of the list with the same filters."
    header = _parameter("Last-Event-ID", f"{about} Sent by browsers; goes before `cursor`.", {"type": "string"})
    return [_parameter("cursor", about, {"type": "string"}), header | {"in": "header"}]


def page_parameters(*, is_feed: bool = False) -> list[dict[str, Any]]:
    """Return the parameters by which every list is walked through."""
    ascending = "by `seq`, to be followed" if is_feed else "oldest first"
    return [
        _parameter(
            "limit",
            f"How many rows at most (1 to {LIMIT_MOST}). A page of large rows has fewer: it ends once it holds 8 MB.",
            {"type": "integer", "minimum": 1, "maximum": LIMIT_MOST, "default": LIMIT_DEFAULT},
            LIMIT_DEFAULT,
        ),
        _parameter("cursor", "`next_cursor` of the page before, with the same filters and order.", {"type": "string"}),
        _order(ascending),
    ]


def _order(ascending: str) -> dict[str, Any]:
    return _parameter(
        "order",
        f"`desc`: newest first; `asc`: {ascending}.",
        {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]},
        ORDERS[0],
    )


def as_of_parameter() -> dict[str, Any]:
    """Return the parameter by which a record is shown as it was."""
    about = f"The record as it was known then. {_FORMS[Kind.INSTANT]} A date means its end."
    return _parameter("as_of", about, {"type": "string"}, _EXAMPLES[Kind.INSTANT])


def own_parameter(name: str, about: str, example: str, words: Iterable[str] | None = None) -> dict[str, Any]:
    """Return a parameter that is no filter."""
    return _parameter(name, about, {"type": "string"} | ({"enum": list(words)} if words else {}), example)


def search_parameters(kinds: Iterable[str], limit: int, most: int) -> list[dict[str, Any]]:
    """Return the parameters of a search."""
    limits = {"type": "integer", "minimum": 1, "maximum": most, "default": limit}
    words = _parameter("q", "The words. Names are better sent by `POST /v1/search`.", {"type": "string"}, "Muster Köln")
    return [
        words | {"required": True},
        _parameter("kind", f"Only records of these kinds: {', '.join(kinds)}.", {"type": "string"}, "customer,lead"),
        _parameter("limit", f"How many at most (1 to {most}); fewer where they are large.", limits, limit),
        _parameter("cursor", "`next_cursor` of the page before, with the same words.", {"type": "string"}),
    ]


def replay_parameters(resource: Resource) -> list[dict[str, Any]]:
    """Return the parameters by which deliveries are replayed."""
    dry_run = _parameter("dry_run", "Only count all that the filter means.", {"type": "boolean"}, example=True)
    pages = [one for one in page_parameters() if one["name"] != "order"]
    return [dry_run, *pages, *filter_parameters(resource)]


def export_parameters(resource: Resource, form: str) -> list[dict[str, Any]]:
    """Return the parameters of an export."""
    bom = _parameter("bom", "Begin with a byte order mark, which Excel wants.", {"type": "boolean"}, example=True)
    looks = [_fields_parameter(resource.schema), *([bom] if form == "csv" else [])]
    return [_order("oldest first"), *looks, *filter_parameters(resource)]


def _filter(name: str, field: Field, op: Op) -> dict[str, Any]:
    about = [f"`{name}` {_ABOUT[op]}.", field.about]
    schema: dict[str, Any] = dict(_SCHEMAS[field.kind])
    example = _EXAMPLES.get(field.kind)
    if field.words is not None:
        example = next(iter(field.words))
        schema["enum"] = list(field.words)
    if op is Op.NULL:
        schema, example = {"type": "boolean"}, True
    elif op is Op.PREFIX:
        about.append("Case and accents do not matter." if not field.about else "")
    else:
        about.append(_FORMS.get(field.kind, ""))
    if field.splits(op):
        about.append("Several values are separated by commas.")
        values = f" Values: {', '.join(field.words)}." if field.words else ""
        schema, about = {"type": "string"}, [*about, values.strip()]
    if field.personal:
        about.append("Personal: needs the scope `read:personal`.")
    written = name if op is Op.EQ else f"{name}[{op}]"
    found = _parameter(written, " ".join(filter(None, about)), schema, None if example is None else str(example))
    if field.personal:
        found["x-personal"] = True
    return found


def _parameter(name: str, about: str, schema: Mapping[str, Any], example: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "in": "query",
        "required": False,
        "description": about,
        "schema": dict(schema),
    }
    if example is not None:
        typed = example
        if schema["type"] == "integer":
            typed = int(example)
        elif schema["type"] == "boolean":
            typed = True
        found["example"] = typed
    return found


_IF_NONE_MATCH = {
    **_parameter("If-None-Match", "The `ETag` of what the caller has: 304 where it is still so.", {"type": "string"}),
    "in": "header",
}
