"""The tables, a module for each family of them; other rooms import them from here."""

from app.storage.models.accounts import (
    api_keys,
    audit,
    installation,
    source_credentials,
    source_secrets,
    source_tokens,
    sources,
)
from app.storage.models.columns import metadata
from app.storage.models.received import brokers, deliveries, events, inbox, outcomes, seen
from app.storage.models.records import aliases, customers, documents, inquiries, leads
from app.storage.models.submissions import submission_keys, submissions

RECORDS = {"inquiry": inquiries, "customer": customers, "document": documents, "lead": leads}
"""The table of each kind of record."""

PARTITIONED = (deliveries, outcomes, events)

__all__ = [
    "PARTITIONED",
    "RECORDS",
    "aliases",
    "api_keys",
    "audit",
    "brokers",
    "customers",
    "deliveries",
    "documents",
    "events",
    "inbox",
    "inquiries",
    "installation",
    "leads",
    "metadata",
    "outcomes",
    "seen",
    "source_credentials",
    "source_secrets",
    "source_tokens",
    "sources",
    "submission_keys",
    "submissions",
]
