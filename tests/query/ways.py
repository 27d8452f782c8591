"""How each operation of the OpenAPI document is tried: what fills its path, what is asked, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Way:
    """How an operation is tried."""

    kinds: tuple[str, ...] = ()
    """Which rows its `{id}` is filled with."""
    query: str = ""
    body: Any = None
    """`NEW` in it is a new name, `SOURCE` the source's; without one, the document's example is sent."""
    seen: int = 200
    """What a key without walls is answered."""
    refused: int = 404
    """What a walled key is answered that names something outside."""
    provider: str = "thinksurance"
    """Whose source is named."""
    of_source: bool = False
    """Whether it is about a source as such, which names no broker: keys for brokers may see it."""
    for_all: bool = False
    """Whether it is refused to walled keys though it names nothing."""


PAGE = Way()
POSTED = Way(body={"limit": 20})
OPEN = Way()
SOURCE = Way(of_source=True)


def one(*kinds: str, seen: int = 200, refused: int = 404) -> Way:
    return Way(kinds, seen=seen, refused=refused)


def call(provider: str) -> Way:
    return Way(provider=provider, seen=409, refused=422, of_source=True)


WAYS: Mapping[str, Way] = {
    "POST /callbacks/{provider}/{token}": OPEN,
    "PUT /callbacks/{provider}/{token}": OPEN,
    "PATCH /callbacks/{provider}/{token}": OPEN,
    "GET /livez": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /v1/attention": PAGE,
    "GET /v1/brokers": PAGE,
    "POST /v1/brokers/query": POSTED,
    **{
        f"GET /v1/export/{name}.{form}": PAGE
        for name in ("events", "inquiries", "customers", "documents", "leads")
        for form in ("csv", "ndjson")
    },
    "GET /v1/search": Way(query="?q=A-1"),
    "POST /v1/search": Way(body={"q": "A-1"}),
    "GET /v1/stats/deliveries": Way(query="?group_by=source"),
    "GET /v1/stats/inquiries": Way(query="?group_by=source,broker"),
    "GET /v1/stats/leads": Way(query="?group_by=source"),
    "GET /v1/stats/funnel": Way(query="?from=4&to=6&group_by=source,broker"),
    "GET /v1/events/stream": PAGE,
    "GET /v1/deliveries": PAGE,
    "POST /v1/deliveries/query": POSTED,
    "GET /v1/deliveries/{id}": one("delivery"),
    "GET /v1/deliveries/{id}/body": one("delivery"),
    "POST /v1/deliveries/{id}/replay": one("delivery", seen=202),
    "POST /v1/deliveries/replay": Way(query="?received_at[gte]=2026-03-01", seen=202),
    "GET /v1/events": PAGE,
    "POST /v1/events/query": POSTED,
    "GET /v1/events/{id}": one("event", "lead-event"),
    "GET /v1/inquiries": PAGE,
    "POST /v1/inquiries/query": POSTED,
    "GET /v1/inquiries/{id}": one("inquiry"),
    "GET /v1/inquiries/{id}/history": one("inquiry"),
    "GET /v1/customers": PAGE,
    "POST /v1/customers/query": POSTED,
    "GET /v1/customers/{id}": one("customer"),
    "GET /v1/customers/{id}/history": one("customer"),
    "GET /v1/documents": PAGE,
    "POST /v1/documents/query": POSTED,
    "GET /v1/documents/{id}": one("document"),
    "GET /v1/documents/{id}/content": one("document", seen=409),
    "GET /v1/leads": PAGE,
    "POST /v1/leads/query": POSTED,
    "GET /v1/leads/{id}": one("lead"),
    "GET /v1/leads/{id}/history": one("lead"),
    "GET /v1/gaps": PAGE,
    "POST /v1/gaps/query": POSTED,
    "GET /v1/gaps/{id}": one("gap"),
    "GET /v1/drift": PAGE,
    "POST /v1/drift/query": POSTED,
    "GET /v1/drift/{id}": one("shape"),
    "GET /v1/sources": SOURCE,
    "POST /v1/sources/query": Way(body={}, of_source=True),
    "POST /v1/sources": Way(body={"provider": "thinksurance", "name": "NEW"}, seen=201, refused=403, of_source=True),
    "GET /v1/sources/{name}": SOURCE,
    "PATCH /v1/sources/{name}": Way(body={"mode": "observe"}, of_source=True),
    "GET /v1/sources/{name}/configuration": SOURCE,
    "GET /v1/sources/{name}/tokens": SOURCE,
    "POST /v1/sources/{name}/tokens": Way(body={"label": "NEW"}, seen=201, of_source=True),
    "DELETE /v1/sources/{name}/tokens/{token}": SOURCE,
    "GET /v1/sources/{name}/secrets": SOURCE,
    "POST /v1/sources/{name}/secrets": Way(body={"secret": "NEW"}, seen=201, of_source=True),
    "DELETE /v1/sources/{name}/secrets/{secret}": SOURCE,
    "POST /v1/submissions/thinksurance/forward": call("thinksurance"),
    "POST /v1/submissions/thinksurance/agency-numbers": call("thinksurance"),
    "POST /v1/submissions/thinksurance/broker": call("thinksurance"),
    "POST /v1/submissions/wegroup/customer-lead": call("wegroup"),
    "POST /v1/submissions/wegroup/company-lead": call("wegroup"),
    "POST /v1/submissions/allianz/client-check": call("allianz"),
    "POST /v1/submissions/allianz/lead": call("allianz"),
    "POST /v1/submissions/allianz/lead-update": call("allianz"),
    "GET /v1/submissions": PAGE,
    "POST /v1/submissions/query": POSTED,
    "GET /v1/submissions/{id}": one("submission"),
    "GET /v1/catalogs/thinksurance/products": Way(query="?source=SOURCE", seen=409, refused=422, of_source=True),
    "GET /v1/catalogs/thinksurance/professions": Way(query="?source=SOURCE", seen=409, refused=422, of_source=True),
    "GET /v1/keys": PAGE,
    "POST /v1/keys/query": POSTED,
    "GET /v1/keys/{id}": one("key"),
    "DELETE /v1/keys/{id}": one("key"),
    "POST /v1/keys": Way(body={"name": "NEW", "scopes": ["read"], "sources": ["SOURCE"]}, seen=201, refused=403),
    "GET /v1/audit": PAGE,
    "POST /v1/audit/query": POSTED,
    "GET /v1/audit/{id}": one("entry"),
    "GET /v1/jobs": Way(refused=403, for_all=True),
    "POST /v1/jobs/query": Way(body={"limit": 20}, refused=403, for_all=True),
    "GET /v1/jobs/{id}": one("job", refused=403),
    "POST /v1/jobs/{id}/retry": one("job", seen=202, refused=403),
}
"""Every operation; of what is not here nobody knows whether it forgot the walls."""
