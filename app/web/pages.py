"""Shows the welcome page and the API's documentation to people with a browser.

What the paths answer is told by the rooms that have them; here it is only laid out.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
}

router = APIRouter(include_in_schema=False)


@router.get("/", response_class=HTMLResponse)
async def welcome() -> HTMLResponse:
    """Say what this is and where to go on."""
    return _page("welcome.html")


@router.get("/docs", response_class=HTMLResponse)
async def documentation(request: Request) -> HTMLResponse:
    """Lay out the OpenAPI document: each path with its parameters, answers and examples."""
    document: dict[str, Any] = request.app.openapi()
    return _page("docs.html", document=document, sections=_sections(document))


def _page(name: str, **values: object) -> HTMLResponse:
    return HTMLResponse(_environment().get_template(name).render(**values), headers=_HEADERS)


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    """Return the templates; imported here because a process that receives never shows a page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _sections(document: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the operations of the document by their tag, in its order."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        shared = methods.get("parameters", [])
        for method, operation in methods.items():
            if method != "parameters":
                tag = (operation.get("tags") or ["other"])[0]
                described = {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "description": operation.get("description", ""),
                    "parameters": [_parameter(one) for one in [*shared, *operation.get("parameters", [])]],
                    "responses": [
                        (status, answer.get("description", "")) for status, answer in operation["responses"].items()
                    ],
                }
                sections.setdefault(tag, []).append(described)
    return list(sections.items())


def _parameter(parameter: dict[str, Any]) -> dict[str, str]:
    schema = parameter.get("schema", {})
    kinds = [one.get("type", "") for one in schema.get("anyOf", [schema])]
    values: list[Any] = next((one["enum"] for one in schema.get("anyOf", [schema]) if "enum" in one), [])
    return {
        "name": parameter["name"],
        "kind": ", ".join(map(str, values)) or " or ".join(kind for kind in kinds if kind and kind != "null"),
        "description": parameter.get("description", ""),
        "required": "required" if parameter.get("required") else "",
    }
