"""What must hold for whatever a platform answers when it is called: it is read, or it is one of the named errors.

How calls are made is told in the tests of the platforms.
"""

from collections.abc import Callable
from typing import Any

from app.ingest.lenient_json import NotJsonError, parse
from app.providers.allianz.answers import read_client_data, read_lead_answer
from app.providers.calling import Answer, CallError
from app.providers.thinksurance.calls import answers as thinksurance
from app.providers.thinksurance.calls.unwrapping import Unwrapping
from app.providers.wegroup.refusals import read_refusal
from tests.fuzz.cutting import Cut
from tests.fuzz.of_bodies import storable

_SENT: dict[str, Any] = {
    "origin": "CRM",
    "prospect": {"first_name": "Erika", "policies": [{"coverages": [{"premium": 1}]}], "address": {"city": "Gent"}},
}


def _refused(answer: Answer) -> Any:
    """Return what a refusal says, and check that the fields it names can be shown."""
    refusal = read_refusal(answer.value, _SENT)
    for error in refusal.errors:
        problem = error.problem
        assert problem is None or problem.path
        assert storable([error.type, error.target, error.message, *(error.path or ())])
    return [refusal.type, refusal.text]


_READERS: tuple[Callable[[Answer], Any], ...] = (
    lambda answer: thinksurance.to_forwarded(thinksurance.check("x", answer), ()),
    lambda answer: thinksurance.to_agency_numbers(thinksurance.check("x", answer), ()),
    thinksurance.to_broker_tokens,
    thinksurance.to_created_broker,
    thinksurance.to_account_tokens,
    lambda answer: thinksurance.to_catalog("x", answer),
    lambda answer: thinksurance.to_pulled("x", answer),
    lambda answer: read_client_data(answer.value, "12345678Z"),
    lambda answer: read_lead_answer(answer.value),
    _refused,
)


def answers(data: bytes) -> None:
    """Input: a byte that chooses the reader, then the answer."""
    cut = Cut(data)
    read = cut.one_of(_READERS)
    body = cut.rest()
    try:
        value = parse(body).value
    except NotJsonError:
        value = None
    try:
        read(Answer(200, value, body, "application/json"))
    except CallError as error:
        assert storable([error.detail, error.said])  # noqa: PT017 - what is raised is what is looked at
        assert error.said is None or len(error.said) <= 1000  # noqa: PT017 - as above


def files(data: bytes) -> None:
    """Input: a byte that says whether it comes by a link, another how long its pieces are, then an answer with a file.

    It is the same file in whatever pieces it arrives.
    """
    cut = Cut(data)
    by_link, size = bool(cut.byte() & 1), cut.byte() + 1
    body = cut.rest()
    assert _unwrapped(body, size, by_link=by_link) == _unwrapped(body, len(body) + 1, by_link=by_link)


def _unwrapped(body: bytes, size: int, *, by_link: bool) -> bytes | None:
    unwrapping = Unwrapping("x", by_link=by_link)
    found = bytearray()
    try:
        for begin in range(0, len(body), size):
            found += unwrapping.feed(body[begin : begin + size])
        found += unwrapping.finish()
    except CallError:
        return None
    return bytes(found)
