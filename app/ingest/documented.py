"""Describes the receiver in the OpenAPI document, for it stands beside FastAPI's routing.

What is described happens in `receiver`.
"""

from typing import Any

from app.ingest.contract import METHODS, Reason
from app.ingest.receiver import DELIVERY_HEADER
from app.ingest.refusals import (
    AccountsAway,
    BodyTooLarge,
    InvalidSignature,
    Overloaded,
    SenderRefused,
    StorageAway,
    UnknownCallback,
    WrongMethod,
)
from app.problems import described

PATH = "/callbacks/{provider}/{token}"
_ID = "019aa7c5-3f0e-7c52-9a41-5d0b7f3c2e11"

_KEPT_HEADER = {
    DELIVERY_HEADER: {"description": "The id it was kept under.", "schema": {"type": "string", "format": "uuid"}}
}
_ACCEPTED_SCHEMA = {
    "type": "object",
    "required": ["id", "status", "items"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"const": "accepted"},
        "items": {
            "type": "object",
            "required": ["accepted", "quarantined"],
            "properties": {"accepted": {"type": "integer"}, "quarantined": {"type": "integer"}},
        },
    },
}
_QUARANTINED_SCHEMA = {
    "type": "object",
    "required": ["id", "status", "reason"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"const": "quarantined"},
        "reason": {"type": "string", "enum": [reason.value for reason in Reason]},
    },
}


def receiver_paths(providers: list[str]) -> dict[str, Any]:
    """Return the `paths` of the receiver for the OpenAPI document."""
    return {
        PATH: {
            "parameters": [
                {"name": "provider", "in": "path", "required": True, "schema": {"type": "string", "enum": providers}},
                {
                    "name": "token",
                    "in": "path",
                    "required": True,
                    "description": "The secret of the callback URL; `callbox sources url NAME` shows it.",
                    "schema": {"type": "string", "pattern": "^cbt_[A-Za-z0-9_-]{43}$"},
                },
            ],
            **{method.lower(): _operation(method) for method in METHODS},
        }
    }


def _operation(method: str) -> dict[str, Any]:
    return {
        "operationId": f"receive_{method.lower()}",
        "tags": ["callbacks"],
        "summary": "Receive a callback",
        "description": (
            "Keeps whatever a platform sends to its callback URL, and answers once it is durable. "
            "Nothing is refused for what it says. GET, HEAD and OPTIONS answer 204 and keep nothing."
        ),
        "security": [],
        "requestBody": {
            "description": "As the platform sends it; `Content-Encoding: gzip` and `deflate` are understood.",
            "content": {
                "application/json": {"schema": {}},
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": _responses(),
    }


def _responses() -> dict[str, Any]:
    accepted = {"id": _ID, "status": "accepted", "items": {"accepted": 1, "quarantined": 0}}
    quarantined = {"id": _ID, "status": "quarantined", "reason": Reason.NOT_JSON.value}
    problems = described(
        *(InvalidSignature, SenderRefused, UnknownCallback, WrongMethod, BodyTooLarge),
        *(Overloaded, StorageAway, AccountsAway),
    )
    answers = {str(status): answer for status, answer in problems.items()}
    answers["401"]["headers"] = _KEPT_HEADER
    return {
        "200": {
            "description": "Kept, and at least one item accepted.",
            "headers": _KEPT_HEADER,
            "content": {"application/json": {"schema": _ACCEPTED_SCHEMA, "example": accepted}},
        },
        "202": {
            "description": "Kept in quarantine: not understood, or not signed as it should be.",
            "headers": _KEPT_HEADER,
            "content": {"application/json": {"schema": _QUARANTINED_SCHEMA, "example": quarantined}},
        },
        "204": {"description": "Kept: a notification that expects an empty answer.", "headers": _KEPT_HEADER},
        **answers,
    }
