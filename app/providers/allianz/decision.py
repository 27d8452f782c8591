"""Decides by the answer of Client Data whether a lead may be passed on, and with which agent: a table, no network.

The rows follow from the page's "Process flow" and the meanings of its fields; the calls are `client`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from app.providers.allianz.answers import ClientData


class Action(StrEnum):
    """What is done with the lead."""

    ALTA = "alta"
    CLOSE = "close"
    REVIEW = "review"
    RETRY_LATER = "retry-later"


Standing = Literal["ok", "not-ok", "not-reached"]
Told = Literal["yes", "no", "missing", "any"]
Agent = Literal["theirs", "ours"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what Client Data said ("any" is all of them), and what follows."""

    standing: Standing
    partner_manage: Told
    client: Told
    agent_id: Told
    action: Action
    reason: str
    agent: Agent | None = None


TABLE = (
    Row("not-reached", "any", "any", "any", Action.RETRY_LATER, "client-data-not-reached"),
    Row("not-ok", "any", "any", "any", Action.REVIEW, "client-data-not-ok"),
    Row("ok", "yes", "yes", "yes", Action.ALTA, "client-with-agent", "theirs"),
    Row("ok", "yes", "yes", "missing", Action.REVIEW, "client-without-agent"),
    Row("ok", "yes", "no", "any", Action.ALTA, "no-client", "ours"),
    Row("ok", "yes", "missing", "any", Action.REVIEW, "client-unknown"),
    Row("ok", "no", "any", "any", Action.CLOSE, "handled-by-allianz"),
    Row("ok", "missing", "any", "any", Action.REVIEW, "partner-manage-unknown"),
)
"""The first row that fits counts. `multiAcceso` is in none: it changes the wording towards the client, no call."""

OTHER_PERSON = "other-nif"
"""The reason where the answer names another person than was asked for: to review, whatever else it says."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a lead, why (a short code), and the agent: `theirs` with the id, or `ours` to assign."""

    action: Action
    reason: str
    agent: Agent | None = None
    agent_id: str | None = None


def decide(found: ClientData | None) -> Decision:
    """Return what follows from an answer of Client Data; None is a call that brought none."""
    if found is not None and found.nif_matches is False:
        return Decision(Action.REVIEW, OTHER_PERSON)
    row = next(row for row in TABLE if _fits(row, found))
    agent_id = found.agent_id if found is not None and row.agent == "theirs" else None
    return Decision(row.action, row.reason, row.agent, agent_id)


def _fits(row: Row, found: ClientData | None) -> bool:
    if found is None:
        return row.standing == "not-reached"
    return (
        row.standing == ("ok" if found.status == "OK" else "not-ok")
        and row.partner_manage in {"any", _TOLD[found.partner_manage]}
        and row.client in {"any", _TOLD[found.is_client]}
        and row.agent_id in {"any", "missing" if found.agent_id is None else "yes"}
    )


_TOLD: Mapping[bool | None, Told] = {True: "yes", False: "no", None: "missing"}
