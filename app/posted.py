"""Tells where a parameter stands that a problem names, where parameters were posted: in the body, at a pointer."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.types import Scope

_MOST_SHOWN = 100


def have_posted(request: Request) -> None:
    """Note that the parameters of a request stand in its body."""
    request.state.parameters_posted = True


def located(errors: Sequence[Mapping[str, str]], scope: Scope) -> Sequence[Mapping[str, str]]:
    """Return what a problem says of parameters, with where they really stand."""
    if "parameters_posted" not in scope.get("state", ()):
        return errors
    return [
        {**one, "in": "body", "pointer": pointer_to(one["name"])} if one["in"] == "query" else one for one in errors
    ]


def pointer_to(name: str) -> str:
    """Return where a parameter stands in the body (RFC 6901), shortened where it is long."""
    return f"/{name.replace('~', '~0').replace('/', '~1')}"[:_MOST_SHOWN]
