"""Holds what a call to a platform is made of: what was asked, what will be sent, what came of it.

Each platform's own part stands in a module beside this one; when a call is made and what is kept, in `sending`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from app.accounts.model import Source
from app.ingest.contract import Warned
from app.problems import code_of
from app.providers.calling import (
    CallError,
    NotJsonAnswerError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
    UnusableAnswerError,
)
from app.providers.checking import FieldProblem, InvalidRequestError, PlatformRequest
from app.providers.masking import mask_item, mask_secrets
from app.submissions.clients import Clients

_SECRET_NAMES = frozenset(
    {
        *("btoken", "atoken", "token", "url", "cbankiban"),
        *("access_token", "accesstoken", "refresh_token", "refreshtoken", "id_token", "idtoken"),
    }
)
"""Members that are overwritten before a request or an answer is stored: credentials, and the redirect address."""

State = Literal["accepted", "refused", "unknown", "closed"]

_CODES: Mapping[type[CallError], str] = {
    InvalidRequestError: "invalid-request",
    TimedOutError: "timed-out",
    UnreachableError: "unreachable",
    ServerFailedError: "platform-failed",
    NotJsonAnswerError: "not-json",
    UnusableAnswerError: "unusable-answer",
    RefusedError: "refused",
}


@dataclass(frozen=True, slots=True)
class Given:
    """What a call is prepared from: the caller's body and what Callbox adds to it.

    `access_token` is the caller's own at the platform; `lead` is a stored lead that fills in what the body lacks.
    """

    submission_id: UUID
    source: Source
    body: Mapping[str, Any] = field(repr=False)
    callback_url: str | None = field(default=None, repr=False)
    test_callback_url: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    lead: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call. `keys` are those by which callbacks will name it; `closes` those of calls that it ends.

    `forgets` are keys that were written with the call and lead to it no more. `once` is for the caller alone and never
    kept: a redirect address, a broker's token. `request` is what was sent where that is more than what was prepared.
    `was_sent` is false where the platform surely never saw the call.
    """

    state: State
    answer: Any = field(default=None, repr=False)
    problem: Mapping[str, Any] | None = None
    platform_ids: Mapping[str, Any] = field(default_factory=dict)
    keys: Sequence[str] = ()
    forgets: Sequence[str] = ()
    closes: Sequence[str] = ()
    once: Mapping[str, str] = field(default_factory=dict, repr=False)
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    was_sent: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that was checked and can be made: `call` makes it once and raises nothing but CallError.

    `request` is what is kept of it, `keys` the caller's own references by which callbacks may name it, `turn` names
    what is called about by one call at a time, in whatever process.
    """

    request: Mapping[str, Any] = field(repr=False)
    call: Callable[[], Awaitable[Outcome]]
    keys: Sequence[str] = ()
    broker: str | None = None
    external_reference: str | None = None
    warnings: Sequence[Warned] = ()
    turn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of call: its name within its platform, the fields of its body, and how it is prepared.

    `awaits_callback` kinds register a callback URL and are overdue when nothing comes. `takes_lead` kinds can be made
    from a stored lead. `added` are fields of the body beside the schema's, `filled` those that Callbox can fill in.
    """

    provider: str
    name: str
    about: str
    schema: type[PlatformRequest]
    prepare: Callable[[Given, Clients], Prepared]
    example: Mapping[str, Any]
    awaits_callback: bool = False
    takes_lead: bool = False
    added: Mapping[str, str] = field(default_factory=dict)
    filled: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """Return its path below `/v1/submissions`."""
        return f"{self.provider}/{self.name}"


def masked(value: Any) -> Any:
    """Return a request or an answer as it may be kept: no credentials, no tokens of ours, no redirect address."""
    return mask_item(value, _SECRET_NAMES)


def without_secrets(outcome: Outcome, source: Source) -> Outcome:
    """Return an outcome as it may be kept: it quotes no credential or secret of the source it came of."""
    held = (value for values in source.credentials.values() for value in values)
    secrets = [*held, *(secret.value for secret in source.secrets)]
    answer, problem = (mask_secrets(told, secrets) for told in (outcome.answer, outcome.problem))
    return replace(outcome, answer=answer, problem=problem)


def problem_of(
    code: str, detail: str, *, errors: Sequence[Mapping[str, str]] = (), retry: bool = False, status: int | None = None
) -> dict[str, Any]:
    """Return why a call did not do what was asked; nothing in it tells of a person."""
    return {"code": code, "detail": detail, "status": status, "retry_could_help": retry, "errors": list(errors)}


def outcome_of(error: CallError, *, errors: Sequence[Mapping[str, str]] = ()) -> Outcome:
    """Return what came of a call that failed: refused if the platform surely did not act on it, else unknown."""
    code = next((name for kind, name in _CODES.items() if isinstance(error, kind)), "failed")
    if isinstance(error, InvalidRequestError):
        errors = field_errors(error.problems)
    return Outcome(
        state="unknown" if error.may_have_happened else "refused",
        answer=masked(error.answer.shown) if error.answer is not None else None,
        problem=problem_of(code, error.detail, errors=errors, retry=error.retry_could_help, status=error.status),
        was_sent=error.answer is not None or error.may_have_happened,
    )


def field_errors(problems: Sequence[FieldProblem]) -> list[dict[str, str]]:
    """Return problems with fields as they stand in answers: pointers into the body that was posted."""
    return [{"pointer": one.pointer, "code": code_of(one.code), "detail": one.detail} for one in problems]
