"""Reads how a list or an export shall look: which fields, and whether the rows are counted; and counts them.

Which rows there are is told in `filters`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from app.accounts.model import Access
from app.query.filters import Parameters, Slips
from app.query.walls import Statement

FIELDS: Final = "fields"
PARAMETERS: Final = (FIELDS, "count")
COUNTS: Final = ("exact", "estimate")
LITTLE: Final = 10_000.0
"""What the database may expect it to cost to find all rows, if they are counted rather than estimated."""


@dataclass(frozen=True, slots=True)
class Shaping:
    """How an answer shall look; None: all fields, no count."""

    fields: frozenset[str] | None = None
    count: str | None = None

    def cut(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Return an object with the fields that were asked for, `id`, and `redacted` where one of them is hidden."""
        if self.fields is None:
            return shown
        is_hidden = not self.fields.isdisjoint(path.partition(".")[0] for path in shown.get("redacted", ()))
        wanted = self.fields | {"redacted"} if is_hidden else self.fields
        return {name: value for name, value in shown.items() if name in wanted}


def read_shaping(
    schema: type[BaseModel], parameters: Parameters, known: Sequence[str] = PARAMETERS
) -> tuple[Shaping, Parameters]:
    """Return how rows of a schema shall look by the `known` parameters, and the parameters that remain.

    Raises:
        Invalid: a field or a way to count is unknown.
    """
    slips = Slips()
    given: dict[str, list[str]] = {name: [text for found, text in parameters if found == name] for name in known}
    names = [name for text in given[FIELDS] for name in text.split(",")]
    if not set(names) <= set(schema.model_fields):
        slips.add(FIELDS, "unknown-value", f"names no field of this list; there are: {', '.join(schema.model_fields)}")
    counts = given.get("count", [])
    if len(counts) > 1 or not set(counts) <= set(COUNTS):
        slips.add("count", "unknown-value", f"is none of these: {', '.join(COUNTS)}")
    slips.check()
    fields = frozenset({"id", *names}) if names else None
    remain = [(name, text) for name, text in parameters if name not in known]
    return Shaping(fields, counts[0] if counts else None), remain


class _Explained(Executable, ClauseElement):
    """A statement that is not run: the database tells what it expects of it."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained)
def _explain(element: _Explained, compiler: SQLCompiler, **more: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **more)}"


async def count_rows(connection: AsyncConnection, statement: Statement, how: str, access: Access) -> int:
    """Return how many rows a statement has, or about how many the database expects where to count takes long.

    It expects by what all rows hold, which would tell a key with walls of those beyond them: for it they are counted.
    Of small tables it knows next to nothing, and is off by hundreds.
    """
    plain = statement.order_by(None)
    if how == "estimate" and access.source_ids is None and access.brokers is None:
        ((plan,),) = (await connection.execute(_Explained(plain))).all()
        expected = plan[0]["Plan"]
        if expected["Total Cost"] > LITTLE:
            return int(expected["Plan Rows"])
    return int((await connection.execute(select(func.count()).select_from(plain.subquery()))).scalar_one())
