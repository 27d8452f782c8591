"""Names what is fuzzed: by name, the property that every input must have. A property returns, or raises.

How inputs are found is `__main__`'s business; those that are kept lie in `corpus` and `found`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz import of_answers, of_bodies, of_connections, of_platforms, of_questions, of_records, of_senders

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FOUND = HERE / "found"

Property = Callable[[bytes], None]

TARGETS: Mapping[str, Property] = {
    "decoding": of_bodies.decoding,
    "lenient-json": of_bodies.lenient_json,
    "form-fields": of_bodies.form_fields,
    "masked-bytes": of_bodies.masked_bytes,
    "masked-items": of_platforms.masked_items,
    "thinksurance": of_platforms.thinksurance,
    "wegroup": of_platforms.wegroup,
    "recipe": of_platforms.recipe,
    "deliveries": of_records.deliveries,
    "answers": of_answers.answers,
    "files": of_answers.files,
    "folding": of_records.folding,
    "names": of_records.names,
    "ids": of_records.ids,
    "questions": of_questions.questions,
    "statistics": of_questions.statistics,
    "posted": of_questions.posted,
    "cursors": of_questions.cursors,
    "times": of_questions.times,
    "senders": of_senders.senders,
    "sender-checks": of_senders.sender_checks,
    "connections": of_connections.connections,
}
