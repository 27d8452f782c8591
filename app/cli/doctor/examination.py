"""Puts the looks of `doctor` together, in the order in which one thing needs the other.

Each is a function of one section's module; nothing is changed by any of them (the file tried in the document store is
deleted again), and what is wrong is said in words that name the setting.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from app.accounts.opening import database_of
from app.cli.doctor.attention import look_at_attention
from app.cli.doctor.documents import look_at_document_store
from app.cli.doctor.finding import Finding, Look, Subject
from app.cli.doctor.received import look_at_inbox, look_at_quarantine, look_at_sources
from app.cli.doctor.server import look_at_clock, look_at_durability, look_at_replica, look_at_role, look_at_version
from app.cli.doctor.spool import look_at_snapshot, look_at_spool
from app.cli.doctor.tables import look_at_encryption_key, look_at_partitions, look_at_revision
from app.cli.output import explain
from app.config import PREFIX, ConfigError, Settings, load_settings, misnamed_variables
from app.storage.database import connect, described

LOCAL: Final[Sequence[Callable[[Settings], Finding]]] = (look_at_spool, look_at_snapshot, look_at_document_store)
"""What can be seen without the database."""

OF_THE_SERVER: Final[Sequence[Look]] = (
    look_at_version,
    look_at_role,
    look_at_durability,
    look_at_replica,
    look_at_clock,
    look_at_revision,
)
"""What can be seen of any PostgreSQL."""

OF_THE_TABLES: Final[Sequence[Look]] = (
    look_at_encryption_key,
    look_at_partitions,
    look_at_sources,
    look_at_quarantine,
    look_at_inbox,
    look_at_attention,
)
"""What needs the tables of this version. A further section is a function in a module of its own, and a word here."""


def examine(say: Callable[[str], None]) -> list[Finding]:
    """Return what was found; where one thing is missing, what needs it is left out."""
    try:
        settings = load_settings()
    except ConfigError as error:
        return [Finding("settings", well=False, detail=str(error))]
    detail = "can be used" + "".join(f"; {name} is no setting and does nothing" for name in misnamed_variables())
    findings = [Finding("settings", well=True, detail=detail)]
    findings += [_seen(look, settings) for look in LOCAL]
    if settings.embedded and not os.path.lexists(settings.data_dir / "postgres" / "data"):
        detail = (
            f"CALLBOX_DATA_DIR: no database is to be seen in {settings.data_dir.resolve()}: `callbox serve` makes it"
        )
        return [*findings, Finding("database", well=False, detail=detail)]
    try:
        with database_of(settings, say) as url, connect(url) as connection:
            findings.append(Finding("database", well=True, detail=f"{described(url)} answers"))
            findings.extend(_examine_database(Subject(settings, url, connection)))
    except Exception as error:  # whatever has an explanation is a finding; all else is raised again
        reason = explain(error)
        if reason is None:
            raise
        findings.append(Finding("database", well=False, detail=reason))
    return findings


def _seen(look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    """Return what can be seen without the database; a folder that this user may not enter is a finding too."""
    try:
        return look(settings)
    except OSError as error:
        own = "document_store" if look is look_at_document_store else "spool_dir"
        setting = PREFIX + (own if getattr(settings, own) else "data_dir").upper()
        told = f"{setting}: {error.filename}: {error.strerror}; run `callbox doctor` as the user of the service"
        return Finding(look.__name__.removeprefix("look_at_"), well=False, detail=told)


def _examine_database(subject: Subject) -> Iterator[Finding]:
    fits = True
    for look in OF_THE_SERVER:
        for finding in _looked(look, subject):
            fits = finding.well if finding.name == "revision" else fits
            yield finding
    if fits:
        for look in OF_THE_TABLES:
            yield from _looked(look, subject)


def _looked(look: Look, subject: Subject) -> Iterator[Finding]:
    """Yield what a section finds; one that the database refuses is a finding too, and the others go on."""
    import psycopg  # noqa: PLC0415 - loaded by now

    try:
        yield from look(subject)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        name = look.__name__.removeprefix("look_at_")
        yield Finding(name, well=False, detail=explain(error) or type(error).__name__)
