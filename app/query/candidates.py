"""Finds the records that hold the words of a search, and ranks them.

Which records are searched, and how they are shown, is told in `search`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.processing.folding import words_in
from app.processing.searched import OPEN_MARK
from app.query.common_words import CommonWords, Form, Words, is_common, rare_ones
from app.query.customers import CUSTOMERS
from app.query.documents import DOCUMENTS
from app.query.inquiries import INQUIRIES
from app.query.leads import LEADS
from app.query.personal import may_see
from app.query.prepared import Prepared, asked, driver_of
from app.query.resource import Resource
from app.query.walls import Statement, cache_of_walls, wall, walled_late

SEARCHED: Final[Mapping[str, Resource]] = {one.kind: one for one in (CUSTOMERS, INQUIRIES, LEADS, DOCUMENTS)}
"""What is searched; where two fit as well, the earlier kind comes first."""

_KINDS: Final = tuple(SEARCHED)

_FIRST, _MOST_CANDIDATES = 25, 50
"""So many of each kind and way of fitting are weighed at first, and at most; who wants others says more words.

They are the first in the table and lie all over it, so that no more of it is read than a page needs: those that are
weighed later come after.
"""

_ENOUGH = 50
"""Where so many records have the words whole, those in which they are only begun are not looked for."""

_SHORTEST_PREFIX = 2
_BEGUN = 0.9
_WITHOUT_OTHER_WAYS: Final = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true),
       set_config('enable_indexonlyscan', 'off', true), set_config('synchronize_seqscans', 'off', true)
"""

Ranked = list[tuple[float, str, UUID]]
"""What fits, best first: score, kind and id."""

Found = dict[tuple[str, UUID], tuple[tuple[float, ...], float]]
"""Of each record, by kind and id, its place and its score."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words that records should have, and the kinds that are looked at.

    With `is_address` an e-mail address is among the words: where that is found whole, others are not looked for.
    """

    words: tuple[str, ...]
    kinds: tuple[str, ...]
    is_address: bool

    @classmethod
    def of(cls, text: str, kinds: tuple[str, ...]) -> Self:
        """Return what is wanted by a text."""
        return cls(words_in(text), kinds, is_address="@" in text)


async def ranked_candidates(
    connection: AsyncConnection, wanted: Wanted, end: int, common: CommonWords, access: Access
) -> Ranked:
    """Return what fits; what comes long after the `end` of the page may be missing.

    Raises:
        psycopg.Error: the database has trouble.
    """
    known = await common.read(driver_of(connection))
    found = await _whole(connection, wanted, end, known, access)
    if len(found) <= end and len(found) < _ENOUGH and not (found and wanted.is_address):
        found = await _begun(connection, wanted, end, known, access) | found
    return [(score, kind, row_id) for (kind, row_id), (_, score) in sorted(found.items(), key=lambda one: one[1][0])]


async def _whole(connection: AsyncConnection, wanted: Wanted, end: int, known: Words, access: Access) -> Found:
    """Return the records that hold the words whole, one more than are shown up to the `end` if there are as many."""
    forms = forms_of(wanted.words, access, begun=False)
    most = _FIRST if end < _FIRST else _MOST_CANDIDATES
    values = {"asked": _written(forms), "enough": end + 1, "most": most}
    rows = await _by_index_only(connection, _with_words_whole(_plans(wanted.kinds, forms, known), access), values)
    return {
        (kind, row_id): ((0, _KINDS.index(kind), number // _FIRST, -row_id.int), 1.0)
        for number, (kind, row_id) in _numbered(rows)
    }


async def _begun(connection: AsyncConnection, wanted: Wanted, end: int, known: Words, access: Access) -> Found:
    """Return the records in which the words are at least begun."""
    forms, may_see_all = forms_of(wanted.words, access, begun=True), may_see(access)
    statement = _with_words_begun(_plans(wanted.kinds, forms, known), access)
    most = _FIRST if end < _FIRST else _MOST_CANDIDATES
    values: dict[str, Any] = {"asked": _written(forms), "rare": _written(rare_ones(forms, known))}
    numbered = [*_numbered(await _by_index_only(connection, statement, {**values, "most": most}))]
    if len(numbered) <= end and any(number + 1 == _FIRST == most for number, _ in numbered):
        values["most"] = _MOST_CANDIDATES
        numbered = [*_numbered(await _by_index_only(connection, statement, values))]
    found: Found = {}
    for number, (kind, row_id, words) in numbered:
        score = _score(wanted.words, _seen(words, may_see_all=may_see_all))
        found[kind, row_id] = ((1, number // _FIRST, -score, _KINDS.index(kind), -row_id.int), score)
    return found


def _numbered(rows: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Return rows with their number within their kind, in the order of the table."""
    numbers: Counter[str] = Counter()
    for row in rows:
        yield numbers[row[0]], row
        numbers[row[0]] += 1


async def _by_index_only(connection: AsyncConnection, statement: Prepared, values: Mapping[str, Any]) -> list[Any]:
    """Have the database go by the index of words, whatever it believes, and else through a table from its beginning.

    Of a word that is only begun it expects far more than there are, and would rather go through a whole table. The two
    statements are sent as one transaction, at the end of which it may go by all ways again.
    """
    driver = driver_of(connection)
    async with driver.pipeline():
        await driver.execute(_WITHOUT_OTHER_WAYS)
        found = await driver.execute(statement.text, {**statement.values, **values})
    return await found.fetchall()


def _plans(kinds: Collection[str], forms: Sequence[Form], known: Words) -> tuple[tuple[Resource, bool], ...]:
    """Return what is searched in its order, and of each whether the table is gone through in place of the index."""
    return tuple(
        (resource, is_common(forms, known.get(resource.table.name, {})))
        for kind, resource in SEARCHED.items()
        if kind in kinds
    )


@cache_of_walls
def _with_words_whole(plans: Sequence[tuple[Resource, bool]], access: Access) -> Prepared:
    """Return the statement of records that hold what is `asked`: kind by kind, until there are `enough`.

    All of them fit as well, so what comes after has no part in the page; each is read from another place of the disk.
    """
    found: list[CTE] = []
    for resource, goes_through in plans:
        candidates = _candidates(resource, access, "asked", goes_through=goes_through)
        if found:
            numbers = [select(func.count()).select_from(one).scalar_subquery() for one in found]
            candidates = candidates.where(sum(numbers[1:], numbers[0]) < asked("enough", Integer()))
        found.append(candidates.cte(resource.kind))
    return Prepared.of(union_all(*(select(one) for one in found)))


@cache_of_walls
def _with_words_begun(plans: Sequence[tuple[Resource, bool]], access: Access) -> Prepared:
    """Return the statement of records that hold what is `asked`, and their words; the index is asked for `rare`.

    It would put together all that have each of the words, and half the world has `com`, the end of an e-mail address.
    """
    found = []
    for resource, goes_through in plans:
        words = resource.table.c.words
        candidates = _candidates(resource, access, "asked" if goes_through else "rare", goes_through=goes_through)
        if not goes_through:
            candidates = candidates.where(_holds(words, "asked").is_(true()))
        found.append(candidates.add_columns(func.tsvector_to_array(words, type_=ARRAY(Text)).label("words")))
    return Prepared.of(union_all(*(select(one.subquery()) for one in found)))


def _candidates(resource: Resource, access: Access, name: str, *, goes_through: bool) -> Statement:
    """Return the statement of the first records of a table that hold what is asked by a name."""
    columns = resource.table.c
    statement: Statement = select(literal(resource.kind).label("kind"), columns.id).where(*resource.in_lists)
    holds = _holds(columns.words, name)
    if goes_through:  # the walls are sooner looked at than the words, though the database thinks otherwise
        within = and_(true(), *wall(resource.table, access))
        statement = statement.where(case((within, holds), else_=false()).is_(true()))
    else:
        statement = walled_late(statement, resource.table, access).where(holds)
    return statement.limit(asked("most", Integer()))


def _holds(words: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that words hold what is asked by a name; no index is gone by where it `is_` true."""
    return words.bool_op("@@")(cast(asked(name, Text()), TSQUERY))


def forms_of(words: Iterable[str], access: Access, *, begun: bool) -> list[Form]:
    """Return how words are asked for."""
    marks = (OPEN_MARK, "") if may_see(access) else (OPEN_MARK,)
    forms = []
    for word in words:
        is_begun = begun and len(word) >= _SHORTEST_PREFIX
        beginnings = [word]
        if is_begun and word.endswith("i"):  # the next letter may be a j, and ij is folded to y
            beginnings.append(word[:-1] + "y")
        forms.append(Form(tuple(f"{mark}{one}" for one in beginnings for mark in marks), is_begun))
    return forms


def _written(forms: Iterable[Form]) -> str:
    """Return forms as a question in PostgreSQL's writing, all of them; no sign of that can be in a word."""
    return " & ".join(f"({' | '.join(_in_quotes(form))})" for form in forms)


def _in_quotes(form: Form) -> Iterator[str]:
    for writing in form.writings:
        yield f"'{writing}':*" if form.begun else f"'{writing}'"


def _seen(words: Iterable[str], *, may_see_all: bool) -> set[str]:
    """Return those of a record's words that the key may see, without the mark of the open ones."""
    return {word.removeprefix(OPEN_MARK) for word in words if may_see_all or word.startswith(OPEN_MARK)}


def _score(asked: Sequence[str], words: Collection[str]) -> float:
    """Return how well a record fits: 1 where it has each word, less where it has longer ones."""
    total = 0.0
    for word in asked:
        if word in words:
            total += 1.0
        else:
            total += max((_BEGUN * len(word) / len(one) for one in words if one.startswith(word[:-1])), default=0.0)
    return min(1.0, total / len(asked))
