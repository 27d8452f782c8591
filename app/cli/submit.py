"""The command `submit`: make a call to a platform, as `POST /v1/submissions/{provider}/{kind}` does.

The call itself is the submissions room's.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.logs import log_to_standard_error
from app.cli.opening import Opened, opened
from app.cli.output import FAILED, JsonFlag, show
from app.cli.values import ELSEWHERE, Reader, ValueGivenError

if TYPE_CHECKING:
    from app.accounts.model import Source
    from app.problems import Problem
    from app.submissions.calls import Kind

_FAILED_STATES = ("refused", "unknown")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)


def submit(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="thinksurance, wegroup or allianz.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as forward, customer-lead or client-check.")],
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The account to call by.")],
    data: Annotated[str, typer.Option("--data", metavar="JSON", help=f"The platform's own fields. {ELSEWHERE}")],
    key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="Under a key a call is made once.")
    ] = None,
    access_token: Annotated[
        str | None,
        typer.Option("--access-token", metavar="T", help=f"Your own at WeGroup, used once and not kept. {ELSEWHERE}"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a call to a platform, keep it with its answer, and have its callbacks matched to it."""
    import asyncio  # noqa: PLC0415 - here and below: heavy, and only for this command

    from app.submissions.bodies import access_token as checked_token  # noqa: PLC0415
    from app.submissions.bodies import find_source, idempotency_key, parse_body  # noqa: PLC0415
    from app.submissions.kinds import KINDS  # noqa: PLC0415

    wanted = KINDS.get((provider, kind))
    if wanted is None:
        raise ValueGivenError(f"there is no {provider} {kind}; there are: {', '.join(one.path for one in _kinds())}")
    reader = Reader()
    given = reader.secret(data, "data")
    headers = {
        "idempotency-key": key,
        "x-wegroup-access-token": access_token and reader.secret(access_token, "access token"),
    }
    with opened() as room:
        log_to_standard_error(room.settings)
        from app.accounts.snapshot import read_accounts  # noqa: PLC0415
        from app.problems import Problem  # noqa: PLC0415

        sources = read_accounts(room.connection, room.vault).sources
        try:
            known = {name: text for name, text in headers.items() if text is not None}
            account = find_source(source, provider, list(sources.values()))
            body = parse_body(given.encode())
            body.pop("source", None)
            order = {
                "source": account,
                "kind": wanted,
                "body": body,
                "idempotency_key": idempotency_key(known),
                "access_token": checked_token(known),
            }
            made = asyncio.run(_send(room, order, sources))
        except Problem as problem:
            raise ValueGivenError(_told(problem)) from None
    show(made, _text(made), as_json=as_json)
    if made["state"] in _FAILED_STATES:
        raise typer.Exit(FAILED)


def _kinds() -> "list[Kind]":
    from app.submissions.kinds import KINDS  # noqa: PLC0415 - heavy

    return list(KINDS.values())


async def _send(room: Opened, order: Mapping[str, Any], sources: "Mapping[Any, Source]") -> dict[str, Any]:
    """Make the call as one who may do everything, and return the submission as the API shows it."""
    from uuid import UUID  # noqa: PLC0415

    import orjson  # noqa: PLC0415

    from app.accounts.audit import CLI  # noqa: PLC0415
    from app.accounts.model import Access, Scope  # noqa: PLC0415
    from app.query.answers import to_json  # noqa: PLC0415
    from app.storage.engine import open_read_engine  # noqa: PLC0415
    from app.submissions.sending import Order, Sender, shown  # noqa: PLC0415

    access = Access(UUID(int=0), CLI, frozenset(Scope))
    engine = open_read_engine(room.url, pool_size=1)
    sender = Sender(engine, room.vault, room.settings.base_url)
    try:
        made = await sender.submit(Order(access=access, actor=CLI, **order), sources)
        document: dict[str, Any] = orjson.loads(to_json(shown(made, access)))
        return document
    finally:
        await sender.aclose()
        await engine.dispose()


def _told(problem: "Problem") -> str:
    """Return a problem for people: what is wrong, with which fields, and what is known of a call that was made."""
    errors = [f"  {one.get('pointer') or one.get('name') or '/'}: {one['detail']}" for one in problem.errors]
    known = [f"  {name}: {value}" for name, value in problem.members.items() if value and name != "links"]
    return "\n".join([problem.detail, *errors, *known])


def _text(made: Mapping[str, Any]) -> str:
    """Return a submission for people."""
    lines = [f"{made['provider']} {made['kind']}: {made['state']}", f"submission: {made['id']}"]
    lines += [f"{name.replace('_', ' ')}: {value}" for name, value in made["platform_ids"].items() if value is not None]
    if made["problem"]:
        lines.append(f"problem: {made['problem']['code']}: {made['problem']['detail']}")
        lines += [f"  {one['pointer']}: {one['detail']}" for one in made["problem"]["errors"]]
    lines += [f"warning: {one['field']}: {one['reason']}" for one in made["warnings"]]
    if made["broker_token"]:
        lines.append(f"broker token, given once: {made['broker_token']}")
    if made["redirect_url"]:
        lines.append(f"Send the user's browser here; it is given once:\n\n  {made['redirect_url']}")
    return "\n".join(lines)
