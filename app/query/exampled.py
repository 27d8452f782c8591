"""Gives each answer of the OpenAPI document an example, put together from the examples of its schema's fields.

What a field's example is stands in its schema; what an answer says itself is left as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/"
_PLAIN: Final[Mapping[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 0.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


def add_examples(document: dict[str, Any]) -> None:
    """Put an example into each JSON answer that says something and has none."""
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for name, operation in operations.items():
            if name == "parameters":
                continue
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get(_JSON)
                if str(status).startswith("2") and content and not {"example", "examples"} & content.keys():
                    content["example"] = example_of(content["schema"], schemas)


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return an example of what has this schema; a list without examples of its own has one element."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(_REFERENCE)], schemas)
    given = [*schema.get("examples", ()), *(schema[name] for name in ("const", "default") if name in schema)]
    if given or schema.get("enum"):
        return [*given, *schema.get("enum", ())][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "properties" in schema:
        return {name: example_of(one, schemas) for name, one in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    return _PLAIN.get(schema.get("type", "null"))
