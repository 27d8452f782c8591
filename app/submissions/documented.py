"""Writes what the OpenAPI document says of calls: each body with every field, made from what checks it."""

from typing import Any

from app.submissions.bodies import ACCESS_TOKEN, IDEMPOTENCY_KEY
from app.submissions.calls import Kind

_SOURCE = {"type": "string", "description": "The name of the account to call by.", "examples": ["thinksurance-demo"]}


def request_body(kind: Kind) -> dict[str, Any]:
    """Return the body of a kind of call: `source` and the platform's own fields."""
    schema = kind.schema.model_json_schema(by_alias=True)
    plain = inlined(schema, schema.get("$defs", {}))
    added = {name: {"type": "string", "description": about} for name, about in kind.added.items()}
    fields = {name: one for name, one in plain["properties"].items() if name not in kind.filled & {"source"}}
    required = [name for name in plain.get("required", ()) if name not in kind.filled]
    body = {
        "type": "object",
        "title": f"{kind.provider} {kind.name}",
        "properties": {"source": _SOURCE, **added, **fields},
        "required": ["source", *required],
        "additionalProperties": plain.get("additionalProperties", True),
    }
    example = {"source": f"{kind.provider}-demo", **kind.example}
    return {"required": True, "content": {"application/json": {"schema": body, "example": example}}}


def inlined(value: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with its references written out: these definitions have no place in the document.

    What is written out is named by its place, for two of one title in one body could not both be generated.
    """
    if isinstance(value, list):
        return [inlined(one, definitions) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        named = definitions[value["$ref"].rpartition("/")[2]]
        return inlined({name: one for name, one in named.items() if name != "title"}, definitions)
    return {name: inlined(one, definitions) for name, one in value.items() if name != "$defs"}


def headers(kind: Kind) -> list[dict[str, Any]]:
    """Return the headers that a kind of call takes."""
    found = [
        _header(
            IDEMPOTENCY_KEY,
            "Under a key a call is made once: the same body again answers what came of it (200), another body is"
            " refused (409). 1 to 255 visible ASCII characters, kept for each source.",
            "order-4711-forward",
        )
    ]
    if kind.provider == "wegroup":
        about = "The caller's own access token at WeGroup, used for this call instead of the source's and not kept."
        found.append(_header(ACCESS_TOKEN, about, "eyJhbGciOi..."))
    return found


def _header(name: str, about: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": False, "description": about, "schema": schema, "example": example}
