"""Checks requests to platforms before they are sent, so that a mistake is told by field and costs no call.

The fields themselves stand in each platform's folder, the sending in `calling`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.providers.calling import PermanentCallError

_NAME = re.compile(r"[\w-]{1,60}", re.ASCII)


def is_name(step: str | int) -> bool:
    """Tell whether a step of a path is a place or a name: what is longer or has other letters may be a value."""
    return isinstance(step, int) or _NAME.fullmatch(step) is not None


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request: its path in the platform's names, a code, a text without the value."""

    path: tuple[str | int, ...]
    code: str
    detail: str

    @property
    def dotted(self) -> str:
        """Return the path for people and logs: `iExternalReferences.0.origin`; a name that is none is a `?`."""
        return ".".join(str(step) if is_name(step) else "?" for step in self.path)

    @property
    def pointer(self) -> str:
        """Return the path as a JSON pointer (RFC 6901)."""
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in self.path)


class InvalidRequestError(PermanentCallError):
    """The request is wrong and was not sent; `problems` name the fields, never the values."""

    def __init__(self, call: str, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        listed = "; ".join(f"{problem.dotted}: {problem.detail}" for problem in self.problems)
        super().__init__(call, f"not sent: {listed}")


class PlatformRequest(BaseModel):
    """What all requests to platforms share: unknown names are refused, nothing of the content is in the repr.

    Give a child an alias generator or aliases where the platform's names are not ours: problems name the aliases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    def conditions(self) -> Iterable[FieldProblem]:
        """Return what is wrong with fields that depend on each other; run when each is right by itself."""
        return ()

    def body(self) -> dict[str, Any]:
        """Return the JSON to send: the fields that were given, in the platform's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show names only."""
        return [(None, sorted(self.model_fields_set))]


Checked = TypeVar("Checked", bound=PlatformRequest)


def check_request(call: str, kind: type[Checked], data: Mapping[str, Any]) -> Checked:
    """Return `data` as a request of `kind`.

    Raises:
        InvalidRequestError: names every field that is wrong.
    """
    try:
        request = kind.model_validate(dict(data))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        # From None, for the original holds the values.
        raise InvalidRequestError(call, [FieldProblem(one["loc"], one["type"], one["msg"]) for one in found]) from None
    if problems := tuple(request.conditions()):
        raise InvalidRequestError(call, problems)
    return request
