"""Knows which words many records have, so that a search need not look all of these up in the index of words.

What a search does with that is told in `candidates`.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

from app.processing.searched import OPEN_MARK

_MANY: Final = 0.05
"""From this share of a table on, its first rows that fit are found sooner by going through it than by the index."""

_HALF: Final = 0.5
"""From this share on, a word is looked for only in the rows that have the others: half of these have it, too."""

_TIMES: Final = 8
"""So is one so many times as frequent as the rarest: to look at a row takes so many times as long as the index takes to
put one together."""

_TELLING: Final = 4
"""A beginning of fewer letters may be that of many words, each rare: how many have one of them is not known."""

_KNOWN: Final = 0.005
"""Of words that a smaller share has it is not asked how many have them."""

_KEPT_FOR_S: Final = 600
_QUESTION: Final = """
SELECT tablename, word, share FROM pg_stats,
       unnest(most_common_elems::text::text[], most_common_elem_freqs) AS common (word, share)
WHERE schemaname = current_schema() AND attname = 'words' AND share >= %s AND word IS NOT NULL
"""

Words = Mapping[str, Mapping[str, float]]
"""By table and word the share of the rows that have it."""


@dataclass(slots=True)
class CommonWords:
    """The words that many records have, as PostgreSQL found when it last analyzed the tables; asked now and then."""

    _found: Words = field(default_factory=dict)
    _until: float = 0.0

    async def read(self, driver: AsyncConnection[Any]) -> Words:
        """Return the words by table; what is not known here may be common, too."""
        if time.monotonic() >= self._until:
            found: defaultdict[str, dict[str, float]] = defaultdict(dict)
            for table, word, share in await (await driver.execute(_QUESTION, (_KNOWN,))).fetchall():
                found[table][word] = share
            self._found, self._until = dict(found), time.monotonic() + _KEPT_FOR_S
        return self._found


class Form(NamedTuple):
    """How a word is asked for: in one of its writings, whole or only begun."""

    writings: tuple[str, ...]
    begun: bool

    @property
    def is_telling(self) -> bool:
        """Tell whether what is not known of its share is little."""
        return not self.begun or len(self.writings[-1].removeprefix(OPEN_MARK)) >= _TELLING

    def share(self, known: Mapping[str, float]) -> float:
        """Return the share of rows that are known to have such a word, and there may be more."""
        if self.begun:
            return max([share for word, share in known.items() if word.startswith(self.writings)], default=0.0)
        return max([known.get(word, 0.0) for word in self.writings])


def is_common(forms: Iterable[Form], known: Mapping[str, float]) -> bool:
    """Tell whether many rows of a table have all of the words, each in one of its writings."""
    share = 1.0
    for form in forms:
        share *= form.share(known)
    return share >= _MANY


def rare_ones(forms: Sequence[Form], known: Words) -> Sequence[Form]:
    """Return the words by which the index is asked: none far more frequent than another, or in half of all rows.

    All where there is none such.
    """
    shares = [max((form.share(in_table) for in_table in known.values()), default=0.0) for form in forms]
    telling = [share for form, share in zip(forms, shares, strict=True) if form.is_telling]
    often = min(_HALF, _TIMES * max(_KNOWN, min(telling, default=_HALF)))
    return [form for form, share in zip(forms, shares, strict=True) if share < often] or forms
