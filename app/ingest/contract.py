"""The contract between receiver, processor and the platforms: what a source is, and what a platform's reader gives.

The platforms fill it in `app.providers`; receiver and processor are given them and never import them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from app.accounts.model import Mode as Mode  # noqa: PLC0414 - part of the contract
from app.accounts.model import Secret as Secret  # noqa: PLC0414 - part of the contract
from app.accounts.model import Source as Source  # noqa: PLC0414 - part of the contract


class Verdict(StrEnum):
    """What is known of who sent an item; from best to worst. Stored in deliveries by its position."""

    VERIFIED = "verified"
    CONFIRMED = "confirmed"
    UNCHECKED = "unchecked"
    UNSIGNED = "unsigned"
    INVALID = "invalid"

    @property
    def rank(self) -> int:
        """Return the position from best (0) to worst."""
        return _VERDICT_RANK[self]


VERDICTS = tuple(Verdict)
_VERDICT_RANK = {verdict: rank for rank, verdict in enumerate(VERDICTS)}


class Reason(StrEnum):
    """Why something is in quarantine: a closed list."""

    NOT_JSON = "not-json"
    UNKNOWN_SHAPE = "unknown-shape"
    NOTHING_IN_IT = "nothing-in-it"
    INVALID_SIGNATURE = "invalid-signature"
    SIGNATURE_UNPROVEN = "signature-unproven"
    SIGNATURE_MISSING = "signature-missing"
    SENDER_REFUSED = "sender-refused"
    UNUSABLE_ID = "unusable-id"
    PROCESSING_FAILED = "processing-failed"
    PLATFORM_ERROR = "platform-error"


METHODS = ("POST", "PUT", "PATCH")
"""The methods that receive; stored in deliveries by position."""

VIAS = ("push", "pull", "import")
"""How a delivery came; stored in deliveries by position."""

MOST_ITEMS = 10_000
"""How many items a delivery may hold. A body of more, each then smaller than any platform's, is `unknown-shape`."""

# What is made for each item is not frozen, which would make it four times as slow to make; nobody changes one.


@dataclass(slots=True)
class Item:
    """One inquiry, lead or notification found in a delivery, and whether it is accepted.

    `value` is the item as parsed, `key` its key where the delivery is a dictionary, `broker` the broker it names
    (`bExternalId`), `notes` what the slower reader had to mend.
    """

    index: int
    value: Any
    verdict: Verdict
    reason: Reason | None = None
    key: str | None = None
    subject: str | None = None
    broker: str | None = None
    notes: tuple["Warned", ...] = ()


@dataclass(slots=True)
class Findings:
    """What the platform's reader found in a body: items, or the reason why there are none.

    `notification` is true where the platform expects the empty answer 204 (Thinksurance V2).
    """

    items: Sequence[Item] = ()
    reason: Reason | None = None
    notification: bool = False


class Warned(NamedTuple):
    """Something read tolerantly: the field (a dotted path in the item as sent) and the reason (a short code)."""

    field: str
    reason: str


@dataclass(slots=True)
class Part:
    """What an item says about one record.

    `keys` identify the record within its source and kind, strongest first; the further ones are joined with the first.
    `fields` hold only what is known: plain JSON values under the names of the API; dates as `YYYY-MM-DD`, instants as
    RFC 3339 in UTC with milliseconds and `Z`, money as integer cents. Map fields (`external_references`, `documents`)
    are merged entry by entry: `{entry key: entry}`. `secrets` are stored encrypted and never served.
    """

    kind: str
    keys: tuple[str, ...]
    fields: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Statement:
    """What one accepted item says: the event to be, and its parts by record.

    The first part of kind `inquiry` or `lead` is the subject's; `effective_at` is the first half of its order key.
    `data` is the item as sent with signature, tokens and callback URLs masked.
    `repeat_key` marks an item that may be seen only once (V2 notifications). `signature_digest` is the SHA-256 of its
    signature, by which a pushed item is compared with the same one pulled.
    """

    type: str
    subject: str
    effective_at: datetime
    data: Any
    parts: tuple[Part, ...] = ()
    broker: str | None = None
    broker_token_digest: bytes | None = None
    signature_digest: bytes | None = None
    occurred_at: datetime | None = None
    occurred_on: date | None = None
    repeat_key: str | None = None
    warnings: tuple[Warned, ...] = ()


@dataclass(slots=True)
class Receipt:
    """The circumstances of a delivery that its reading depends on. `zone` is for platform times without one."""

    delivery_id: UUID
    received_at: datetime
    zone: Any
    body_sha256: bytes


class Provider(Protocol):
    """What each platform's folder offers to receiver and processor. Pure: no database, no clock, no network."""

    name: str

    def find(self, body: bytes, content_type: str, source: Source, at: datetime) -> Findings:
        """Find the items of a decompressed body and judge each.

        Never raises for what a body says. `at` is the receipt: secrets good then are tried.
        """

    def read(self, item: Item, source: Source, receipt: Receipt) -> Statement:
        """Say what an accepted item says. Never raises for what an item says."""
