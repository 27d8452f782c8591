"""The tables, a module for each family of them; other rooms import them from here."""

from app.storage.models.accounts import (
    api_keys,
    api_requests,
    audit,
    audit_seals,
    audit_unsealed,
    installation,
    source_credentials,
    source_secrets,
    source_tokens,
    sources,
)
from app.storage.models.columns import metadata
from app.storage.models.counted import delivery_counts, delivery_counts_end
from app.storage.models.jobs import gaps, job_errors, pulled, searches, wanted_pulls
from app.storage.models.received import brokers, closed_months, deliveries, events, inbox, outcomes, seen
from app.storage.models.records import aliases, baselines, customers, documents, inquiries, later_aliases, leads
from app.storage.models.submissions import submission_keys, submissions
from app.storage.models.watched import shapes, spool_states

RECORDS = {"inquiry": inquiries, "customer": customers, "document": documents, "lead": leads}
"""The table of each kind of record."""

PARTITIONED = (deliveries, outcomes, events)

__all__ = [
    "PARTITIONED",
    "RECORDS",
    "aliases",
    "api_keys",
    "api_requests",
    "audit",
    "audit_seals",
    "audit_unsealed",
    "baselines",
    "brokers",
    "closed_months",
    "customers",
    "deliveries",
    "delivery_counts",
    "delivery_counts_end",
    "documents",
    "events",
    "gaps",
    "inbox",
    "inquiries",
    "installation",
    "job_errors",
    "later_aliases",
    "leads",
    "metadata",
    "outcomes",
    "pulled",
    "searches",
    "seen",
    "shapes",
    "source_credentials",
    "source_secrets",
    "source_tokens",
    "sources",
    "spool_states",
    "submission_keys",
    "submissions",
    "wanted_pulls",
]
