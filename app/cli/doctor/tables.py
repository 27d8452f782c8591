"""Looks at the tables: their version, the key of what is encrypted in them, and the months that are made.

Who makes them is told in `app.storage`.
"""

from collections.abc import Iterator
from datetime import timedelta

from app.accounts.opening import find_coming_vault, find_vault_check, vault_of, verify_vault
from app.cli.doctor.finding import Finding, Subject, several
from app.config import ConfigError
from app.crypto import WrongKeyError
from app.ids import time_of
from app.storage.database import newest_revision, present_revision
from app.storage.partitions import MONTHS_AHEAD, PARTITION_KEYS, months_around
from app.times import now, to_text

_MOST_COUNTED = 10_000
_AHEAD = timedelta(minutes=5)


def look_at_revision(subject: Subject) -> Iterator[Finding]:
    """Find whether the tables are those of this version."""
    present, newest = present_revision(subject.connection), newest_revision()
    well = present == newest
    detail = newest if well else f"at {present or 'nothing'}, this version needs {newest}: run `callbox migrate`"
    yield Finding("revision", well=well, detail=detail, values={"revision": present, "newest": newest})


def look_at_encryption_key(subject: Subject) -> Iterator[Finding]:
    """Find whether the key fits."""
    check, settings = find_vault_check(subject.connection), subject.settings
    if check is None:
        yield Finding("encryption_key", well=True, detail="none was needed yet")
        return
    if settings.encryption_key is None and find_coming_vault(settings, check) is not None:
        detail = "its change was cut off; the next start of the service, or any other command, brings it to its end"
        yield Finding("encryption_key", well=False, detail=detail)
        return
    try:
        verify_vault(subject.connection, vault_of(settings))
    except (WrongKeyError, ConfigError) as error:
        yield Finding("encryption_key", well=False, detail=str(error))
    else:
        yield Finding("encryption_key", well=True, detail="fits")


def look_at_partitions(subject: Subject) -> Iterator[Finding]:
    """Find for how many months ahead there are partitions, what lies in no month's, and what is dated in the future."""
    ahead = MONTHS_AHEAD
    for number, (start, _) in enumerate(months_around(now())):
        names = [f"{table}_{start:%Y%m}" for table in PARTITION_KEYS]
        (there,) = subject.row("SELECT bool_and(to_regclass(n) IS NOT NULL) FROM unnest(%s::text[]) AS n", names)
        if not there:
            ahead = number - 1
            break
    (unplaced,) = subject.row(
        "SELECT count(*) FROM (SELECT FROM deliveries_default LIMIT %s) AS counted",
        _MOST_COUNTED,
    )
    well = ahead >= 1
    detail = f"made for {several(ahead, 'month')} ahead" if ahead >= 0 else "missing for this month"
    if not well:
        detail += (
            ": is `callbox work` running? A role that may not make them leaves it to the owner's `callbox migrate`"
        )
    if unplaced:
        most = f"{_MOST_COUNTED} or more" if unplaced == _MOST_COUNTED else str(unplaced)
        detail += f"; {most} deliveries of other months lie in the default partition"
    newest = subject.connection.execute("SELECT id FROM deliveries ORDER BY id DESC LIMIT 1").fetchone()
    if newest and time_of(newest[0]) > now() + _AHEAD:
        well = False
        detail += f"; the clock ran ahead: what was and is received is dated {to_text(time_of(newest[0]))} until then"
    values = {"months_ahead": ahead, "wanted": MONTHS_AHEAD, "in_default": unplaced}
    yield Finding("partitions", well=well, detail=detail, values=values)
