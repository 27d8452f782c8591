"""Lends migrated, empty databases to tests: clones of a template, emptied and lent again where only rows came in.

To empty one takes a few milliseconds; a fresh clone takes some fifty, and as much again until it is known by heart.
"""

import time
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.storage.database import migrate

_LET_GO_WITHIN_S = 0.5
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_CATALOGS = (
    *("attrdef", "attribute", "constraint", "event_trigger", "extension", "index", "inherits", "namespace"),
    *("policy", "proc", "rewrite", "statistic_ext", "trigger", "type"),
)
_CHANGES = " UNION ALL ".join(
    f"SELECT concat_ws(' ', '{name}', count(*), sum(xmin::text::bigint)) FROM pg_{name}"  # noqa: S608
    for name in _CATALOGS
)
_SHAPE = (
    f"WITH changes (line) AS ({_CHANGES})"  # noqa: S608
    " SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (SELECT line FROM changes"
    " UNION ALL SELECT concat_ws(' ', oid, relname, relkind, reloptions, relacl) FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace"
    " UNION ALL SELECT concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_db_role_setting"
    " WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " UNION ALL SELECT datconnlimit::text FROM pg_database WHERE datname = current_database()) AS lines"
)
"""One value for all that a test may change but rows; every change of a catalog's row has a new xmin."""
_WITH_ROWS = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    " AND pg_relation_size(oid) > 0 ORDER BY 1"
)
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"

_Connection = psycopg.Connection[tuple[object, ...]]


class Databases:
    """The databases of one test process on one server."""

    def __init__(self, server: str, *, copies_files: bool) -> None:
        self._server = server
        # Copying files is the quicker way where nothing waits for the disk, as on the embedded server of the tests.
        self._clone = "CREATE DATABASE {} TEMPLATE {}" + (" STRATEGY FILE_COPY" if copies_files else "")
        self._template = self._name("template")
        self._made: set[str] = {self._template}
        self._idle: list[str] = []
        self._execute("CREATE DATABASE {}", self._template)
        migrate(self._url(self._template))
        with psycopg.connect(self._url(self._template), autocommit=True) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()
            self._sequences = connection.execute(_SEQUENCES).fetchall()
            tables = connection.execute(_WITH_ROWS).fetchall()
            self._rows = {str(table): _read(connection, str(table)) for (table,) in tables}

    def lend(self) -> str:
        """Return the URL of a migrated, empty database."""
        if self._idle:
            return self._url(self._idle.pop())
        name = self._name("test")
        self._execute(self._clone, name, self._template)
        self._made.add(name)
        return self._url(name)

    def take_back(self, url: str) -> None:
        """Empty a database to lend it again; drop it where more than rows was changed or somebody still holds it."""
        name = str(conninfo_to_dict(url)["dbname"])
        if self._is_emptied(url):
            self._idle.append(name)
        else:
            self._drop(name)

    def drop_all(self) -> None:
        """Drop all databases that were made."""
        for name in list(self._made):
            self._drop(name)

    def _is_emptied(self, url: str) -> bool:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                if not _is_let_go(connection) or connection.execute(_SHAPE).fetchone() != self._shape:
                    return False
                self._empty(connection)
                return True
        except psycopg.Error:
            return False

    def _empty(self, connection: _Connection) -> None:
        """Delete all rows and shorten the files, so that the next rows lie in the order in which they come."""
        changed = []
        for (table,) in connection.execute(_WITH_ROWS).fetchall():
            if table not in self._rows or _read(connection, str(table)) != self._rows[str(table)]:
                changed.append(str(table))
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")  # no triggers, and so in any order
            for table in changed:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        if changed:
            names = sql.SQL(", ").join(map(sql.Identifier, changed))
            connection.execute(sql.SQL("VACUUM (TRUNCATE) {}").format(names))
        for table in self._rows.keys() & changed:
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
                copy.write(self._rows[table])
        for now, before in zip(connection.execute(_SEQUENCES).fetchall(), self._sequences, strict=True):
            if now != before:
                name, start, last = before
                connection.execute("SELECT setval(%s, %s, %s)", (name, last or start, last is not None))

    def _name(self, kind: str) -> str:
        return f"callbox_{kind}_{uuid4().hex[:12]}"

    def _drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._made.discard(name)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(make_conninfo(self._server), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))

    def _url(self, database: str) -> str:
        parts = {name: str(value) for name, value in conninfo_to_dict(self._server).items() if value}
        user, password = parts.pop("user", ""), parts.pop("password", "")
        parts.pop("dbname", None)
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        if parts.get("host", "").startswith("/"):
            return f"postgresql://{login}/{database}?{urlencode(parts, safe='/')}"
        host, port = parts.pop("host", ""), parts.pop("port", "")
        query = urlencode(parts, safe="/")
        return f"postgresql://{login}{host}{f':{port}' if port else ''}/{database}{f'?{query}' if query else ''}"


def _is_let_go(connection: _Connection) -> bool:
    """Wait a moment until nobody else is connected; a connection outlasts its closing by some milliseconds."""
    end = time.monotonic() + _LET_GO_WITHIN_S
    others = f"{_OTHERS} AND backend_type = 'client backend'"
    while connection.execute(others.encode()).fetchone() != (0,):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def _read(connection: _Connection, table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(sorted(b"".join(map(bytes, copy)).splitlines(keepends=True)))
