"""Knows which words many records have, so that a search need not look all of these up in the index of words.

What a search does with that is told in `candidates`.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

_MANY: Final = 0.05
"""From this share of a table on, its first rows that fit are found sooner by going through it than by the index."""

_HALF: Final = 0.5
"""From this share on, a word is looked for only in the rows that have the others: half of these have it, too."""

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
            for table, word, share in await (await driver.execute(_QUESTION, (_MANY,))).fetchall():
                found[table][word] = share
            self._found, self._until = dict(found), time.monotonic() + _KEPT_FOR_S
        return self._found


class Form(NamedTuple):
    """How a word is asked for: in one of its writings, whole or only begun."""

    writings: tuple[str, ...]
    begun: bool

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
    """Return the words that are not in half of the rows of a table; all where there is none such."""
    return [form for form in forms if all(form.share(in_table) < _HALF for in_table in known.values())] or forms
