"""Shows submissions in their list and their details."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from sqlalchemy import BigInteger, Numeric, Text, and_, case, cast, extract, func, select

from app.accounts.model import Access
from app.query.beginnings import folded_here
from app.query.fields import Condition, Field, Kind, of_column, source_fields
from app.query.personal import hide
from app.query.resource import Resource, Row
from app.query.shapes import from_json, in_order, path, source_columns
from app.query.values import Context
from app.query.walls import Statement
from app.storage.models import submissions
from app.submissions.schemas import KindWord, StateWord, Submission, SubmissionPage

_PLAIN = (
    "id",
    "kind",
    "problem",
    "external_reference",
    "created_at",
    "sent_at",
    "answered_at",
    "due_at",
    "closed_at",
    "first_event_id",
)
"""The fields that are shown as they stand in the table."""

_AS_JSON = ("request", "answer")
_PLATFORM_IDS = ("inquiry_id", "inquiry_hash", "lead_id", "id_landing")
_RECORD_IDS = {"inquiry_id": "/v1/inquiries", "lead_id": "/v1/leads"}

_own = submissions.c
_is_overdue = and_(_own.state == "accepted", _own.due_at < func.now())
_state = case((_is_overdue, "overdue"), else_=_own.state)
_seconds = cast(extract("epoch", _own.answered_at - _own.sent_at), Numeric)


def _columns(_: Access) -> Statement:
    plain = [_own[name] for name in (*_PLAIN, "platform_ids", "broker")]
    # As text, as lists have them, for what a platform answers may be a text itself.
    as_json = (cast(_own[name], Text).label(name) for name in _AS_JSON)
    return select(*plain, *as_json, _state.label("state"), *source_columns(submissions))


def _shape(row: Row, access: Access, _: object) -> dict[str, Any]:
    shown: dict[str, Any] = {name: row[name] for name in _PLAIN}
    answered_at, sent_at, event_id = row["answered_at"], row["sent_at"], row["first_event_id"]
    problem, platform_ids = from_json(row["problem"]), from_json(row["platform_ids"])
    shown |= {
        "source": row["source"],
        "provider": row["provider"],
        "state": row["state"],
        "problem": problem and {"status": None, "retry_could_help": False, "errors": []} | problem,
        **{name: from_json(row[name]) for name in _AS_JSON},
        "platform_ids": {name: platform_ids.get(name) for name in _PLATFORM_IDS},
        "broker_external_id": row["broker"],
        "time_to_answer_seconds": round((answered_at - sent_at).total_seconds(), 3) if answered_at else None,
        "links": {
            "self": f"/v1/submissions/{row['id']}",
            "source": f"/v1/sources/{row['source']}",
            "first_event": f"/v1/events/{event_id}" if event_id else None,
            "events": path("/v1/events", [("submission_id", row["id"])]),
            "record": _record_path(row, platform_ids),
        },
    }
    return in_order(Submission, hide("submission", shown, access))


def _record_path(row: Row, platform_ids: Mapping[str, Any]) -> str | None:
    """Return where the record that came of it will be found; Allianz sends none."""
    if row["provider"] == "allianz":
        return None
    for name, base in _RECORD_IDS.items():
        if (named := platform_ids.get(name)) is not None:
            return path(base, [("source", row["source"]), (name, named)])
    return None


def _in_state(states: Sequence[str], _: Context) -> Condition:
    """Return the condition on the column itself where it can be, so that its index serves."""
    stored = {"accepted" if state == "overdue" else state for state in states}
    return and_(_own.state.in_(sorted(stored)), _state.in_(list(states)))


def _words(words: Sequence[str]) -> dict[str, str]:
    return {word: word for word in words}


FIELDS: Mapping[str, Field] = {
    **source_fields(submissions),
    "id": of_column(submissions, "id", Kind.ID),
    "kind": of_column(submissions, "kind", Kind.WORD, words=_words(get_args(KindWord))),
    "state": Field(column=_state, kind=Kind.WORD, nullable=False, words=_words(get_args(StateWord)), build=_in_state),
    "external_reference": of_column(
        submissions, "external_reference", Kind.TEXT, folded=folded_here(_own.external_reference)
    ),
    "broker_external_id": of_column(submissions, "broker", Kind.TEXT),
    "platform_ids.inquiry_id": Field(
        column=cast(_own.platform_ids["inquiry_id"].astext, BigInteger), kind=Kind.INTEGER
    ),
    "platform_ids.lead_id": Field(column=_own.platform_ids["lead_id"].astext, kind=Kind.TEXT),
    "first_event_id": of_column(submissions, "first_event_id", Kind.ID),
    "time_to_answer_seconds": Field(column=_seconds, kind=Kind.DECIMAL),
    **{
        name: of_column(submissions, name, Kind.INSTANT)
        for name in ("created_at", "sent_at", "answered_at", "due_at", "closed_at")
    },
}

SUBMISSIONS = Resource(
    name="submissions",
    kind="submission",
    table=submissions,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    schema=Submission,
    page=SubmissionPage,
    reckoned=("sent_at", "answered_at"),
    large=(_own.request, _own.answer),
)
