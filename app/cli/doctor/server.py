"""Looks at PostgreSQL itself: its version, our role, what a commit is worth, the replica, and its clock.

What is done about it stands in docs/database.md.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

from app.cli.doctor.finding import Finding, Subject
from app.storage.database import DatabaseError, UnreachableError, check_server, connect, described
from app.times import now

MOST_CLOCK_DIFFERENCE = timedelta(seconds=5)
MOST_LAG = timedelta(seconds=60)

_SYNCHRONOUS = ("sync", "quorum")


def look_at_version(subject: Subject) -> Iterator[Finding]:
    """Find whether the server is one that Callbox works with."""
    version = subject.connection.info.parameter_status("server_version") or "?"
    values = {"server_version": version}
    try:
        check_server(subject.connection)
    except DatabaseError as error:
        yield Finding("version", well=False, detail=str(error), values=values)
    else:
        yield Finding("version", well=True, detail=f"PostgreSQL {version}", values=values)


def look_at_role(subject: Subject) -> Iterator[Finding]:
    """Find who we are there, and whether that is more than the service needs."""
    name, is_superuser, may_create, owns = subject.row(
        "SELECT current_user, rolsuper, has_schema_privilege(current_schema(), 'CREATE'),"
        " EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('deliveries')"
        " AND pg_has_role(current_user, c.relowner, 'USAGE'))"
        " FROM pg_roles WHERE rolname = current_user"
    )
    if is_superuser:
        may = "a superuser" + (", as is usual for the embedded one" if subject.settings.embedded else "")
    elif owns or may_create:
        may = "may change the tables"
    else:
        may = "may not change the tables: `callbox migrate` makes partitions, as their owner"
    values = {"role": name, "superuser": is_superuser, "owns_tables": owns, "may_create": may_create}
    advice = "" if subject.settings.embedded or not is_superuser else "; a role with less is in docs/database.md"
    yield Finding("role", well=True, detail=f"{name}, {may}{advice}", values=values)


def look_at_durability(subject: Subject) -> Iterator[Finding]:
    """Find what a commit outlives: a crash of the server, and the loss of it."""
    fsync, pages, commit, names, in_recovery = subject.row(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),"
        " current_setting('synchronous_standby_names'), pg_is_in_recovery()"
    )
    standbys = subject.connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
    states = [str(state) for (state,) in standbys if state is not None]
    hidden = len(standbys) - len(states)
    synchronous = bool(names) and any(state in _SYNCHRONOUS for state in states)
    values = {
        "fsync": fsync,
        "full_page_writes": pages,
        "synchronous_commit": commit,
        "synchronous_standby_names": names,
        "standbys": len(standbys),
        "synchronous_standbys": sum(state in _SYNCHRONOUS for state in states),
        "failover_without_loss": None if names and hidden else synchronous,
    }
    if in_recovery:
        detail = "CALLBOX_DATABASE_URL: it is a standby and takes no writes"
        yield Finding("durability", well=False, detail=detail, values=values)
        return
    on_disk = "off" not in {fsync, pages}
    detail = f"commits are on the disk (our sessions use synchronous_commit = on, the default is {commit})"
    if not on_disk:
        detail = f"fsync is {fsync}, full_page_writes is {pages}: a crash of the machine may lose what was acknowledged"
    well, standing = _standing(names, synchronous=synchronous, hidden=hidden, standbys=len(standbys))
    yield Finding("durability", well=on_disk and well, detail=f"{detail}; {standing}", values=values)


def _standing(names: str, *, synchronous: bool, hidden: int, standbys: int) -> tuple[bool, str]:
    """Return whether what was asked for is so, and what a failover would lose."""
    if synchronous:
        return True, "a standby is synchronous: a failover to it loses nothing"
    if names and hidden:
        return True, "whether a standby is synchronous can only be seen by a role with pg_monitor"
    if names:
        return False, f"synchronous_standby_names is {names!r}, but no standby is: commits wait"
    some = "no standby is synchronous" if standbys else "there is no standby"
    return True, f"{some}: a failover can lose the last commits"


def look_at_replica(subject: Subject) -> Iterator[Finding]:
    """Find whether the replica for questions answers, and how far it is behind."""
    setting = subject.settings.database_read_url
    url = setting.get_secret_value() if setting else subject.url
    if url == subject.url:
        detail = "none: CALLBOX_DATABASE_READ_URL is not set"
        yield Finding("replica", well=True, detail=detail, values={"lag_seconds": None, "lag_bytes": None})
        return
    try:
        with connect(url) as replica:
            row = replica.execute(
                "SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn()::text, ''),"
                " coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8, 0)"
            ).fetchone()
    except UnreachableError as error:
        yield Finding("replica", well=False, detail=f"CALLBOX_DATABASE_READ_URL: {error}", values={"answers": False})
        return
    in_recovery, replayed, seconds = row or (False, "", 0.0)
    if not in_recovery:
        detail = f"{described(url)} is no standby: CALLBOX_DATABASE_READ_URL names a primary"
        yield Finding("replica", well=True, detail=detail, values={"lag_seconds": 0.0, "lag_bytes": 0})
        return
    (behind,) = subject.row("SELECT greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn))::bigint", replayed)
    lag = float(str(seconds)) if behind else 0.0
    values = {"lag_seconds": round(lag, 3), "lag_bytes": behind}
    detail = f"{described(url)} is {lag:.1f} s and {behind} bytes behind"
    yield Finding("replica", well=lag <= MOST_LAG.total_seconds(), detail=detail, values=values)


def look_at_clock(subject: Subject) -> Iterator[Finding]:
    """Find whether this machine and the database agree on the time: ids say when something came."""
    began = time.monotonic()
    (there,) = subject.row("SELECT clock_timestamp()")
    trip = timedelta(seconds=time.monotonic() - began)
    difference = (now() - trip / 2 - there).total_seconds()
    well = abs(difference) <= (MOST_CLOCK_DIFFERENCE + trip).total_seconds()
    said = f"this machine is {abs(difference):.3f} s {'ahead of' if difference > 0 else 'behind'} the database"
    values = {"difference_seconds": round(difference, 3)}
    yield Finding("clock", well=well, detail=said if well else f"{said}: set them by NTP", values=values)
