"""Makes what a newcomer needs in the first minute, once for each database: two sources, an API key, two lines to paste.

Whether this is the place for it (only the embedded database is) is decided by the supervisor.
"""

import hashlib
import json
import os
import secrets
import shlex
import sys
from pathlib import Path
from typing import Any, TextIO

from app.accounts.keys import add_key
from app.accounts.model import Mode, Scope
from app.accounts.store import add_source, callback_url
from app.accounts.writing import Connection, Platform
from app.config import Settings
from app.crypto import Vault

_INQUIRY_ID = 2900418
_BROKER_TOKEN = "7c21be90a4f35d6812ee04b9a"  # noqa: S105 - invented
FILE_NAME = "first-start.json"
FIRST_START = "first-start"
"""The row of table `installation` that holds, encrypted, what was made until it was shown; then `SHOWN`."""

SHOWN = b"shown"


def first_start(connection: Connection, vault: Vault, settings: Settings) -> dict[str, Any]:
    """Make `thinksurance-demo`, `wegroup-demo` and an API key if this never happened, and return what to show.

    Until `mark_shown` the same comes back, so that a start that is killed in between shows it the next time; then `{}`.
    Keys: `sources` (a list of `name`, `provider`, `mode`, `callback_url`, `secret` or null), `api_key`, `scopes`, and
    `curl`, two lines: a correctly signed callback and the question that reads it back.

    Raises:
        WrongKeyError: the vault has not the key of this database.
    """
    with connection.transaction():
        # Of several processes the others wait here for the first one's commit.
        mine = connection.execute(
            "INSERT INTO installation (key, value) VALUES (%s, '') ON CONFLICT DO NOTHING", (FIRST_START,)
        ).rowcount
        if mine:
            made = _make(connection, vault)
            sealed = vault.encrypt(json.dumps(made), FIRST_START)
            connection.execute("UPDATE installation SET value = %s WHERE key = %s", (sealed, FIRST_START))
            return _described(made, settings)
        row = connection.execute("SELECT value FROM installation WHERE key = %s", (FIRST_START,)).fetchone()
    if row is None or row[0] == SHOWN:
        return {}
    return _described(json.loads(vault.decrypt(row[0], FIRST_START)), settings)


def mark_shown(connection: Connection) -> None:
    """Note that a person has, or can get at, what `first_start` returned; it is not kept any longer."""
    connection.execute("UPDATE installation SET value = %s WHERE key = %s", (SHOWN, FIRST_START))


def show_first_start(connection: Connection, vault: Vault, settings: Settings, out: TextIO = sys.stdout) -> None:
    """Do the first start if it is one: on a terminal print what was made, else write it to `DATA_DIR`, readable by us.

    Raises:
        OSError: the file cannot be written; the next start tries again.
        WrongKeyError: the vault has not the key of this database.
    """
    made = first_start(connection, vault, settings)
    if not made:
        return
    if out.isatty():
        out.write(render_first_start(made))
        out.flush()
    else:
        _write_private(settings.data_dir / FILE_NAME, json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    mark_shown(connection)


def render_first_start(made: dict[str, Any]) -> str:
    """Return what `first_start` made as text for a terminal."""
    lines = ["", "Callbox is set up for the first time. This is shown once:", ""]
    for source in made["sources"]:
        lines.append(f"  {source['name']} ({source['mode']})")
        lines.append(f"    URL     {source['callback_url']}")
        if source["secret"]:
            lines.append(f"    secret  {source['secret']}")
    lines += ["", f"  API key ({', '.join(made['scopes'])})", f"    {made['api_key']}", ""]
    lines += [
        "Send a correctly signed callback:",
        "",
        made["curl"][0],
        "",
        "Read it back:",
        "",
        made["curl"][1],
        "",
        "",
    ]
    return "\n".join(lines)


def _make(connection: Connection, vault: Vault) -> dict[str, Any]:
    secret = secrets.token_urlsafe(24)
    signed = Platform("thinksurance", check_recipe=lambda _: None)
    thinksurance = add_source(connection, vault, signed, "thinksurance-demo", secrets=[secret], mode=Mode.ENFORCE)
    wegroup = add_source(connection, vault, Platform("wegroup"), "wegroup-demo")
    key = add_key(connection, "first-start", [Scope.READ, Scope.READ_PERSONAL])
    return {
        "secret": secret,
        "api_key": key.key,
        "scopes": [str(scope) for scope in key.scopes],
        "sources": [
            {"name": source.name, "provider": source.provider, "mode": source.mode.value, "token": source.token.token}
            for source in (thinksurance, wegroup)
        ],
    }


def _described(made: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what was made as it is shown, with the URLs that hold for these settings."""
    sources = [
        {
            "name": source["name"],
            "provider": source["provider"],
            "mode": source["mode"],
            "callback_url": callback_url(settings, source["provider"], source["token"]),
            "secret": made["secret"] if source["provider"] == "thinksurance" else None,
        }
        for source in made["sources"]
    ]
    question = f"{settings.base_url}/v1/inquiries?inquiry_id={_INQUIRY_ID}"
    body, url = shlex.quote(_example(made["secret"])), sources[0]["callback_url"]
    curl = [
        f"curl -s -H 'Content-Type: application/json' -d {body} {url}",
        f"curl -s -H 'Authorization: Bearer {made['api_key']}' '{question}'",
    ]
    return {"sources": sources, "api_key": made["api_key"], "scopes": made["scopes"], "curl": curl}


def _example(secret: str) -> str:
    """Return an IPNotification of invented people, signed by the default recipe: MD5 of bToken, iId and secret."""
    digest = hashlib.md5(f"{_BROKER_TOKEN}{_INQUIRY_ID}{secret}".encode(), usedforsecurity=False).hexdigest()
    data = {
        "bToken": _BROKER_TOKEN,
        "bExternalId": "42",
        "iId": _INQUIRY_ID,
        "iCreated": "2025-03-02",
        "iUpdated": "2025-03-09",
        "status": 6,
        "productName": "Firmenrechtsschutz",
        "premiumYearly": 48790,
    }
    customer = {"cId": 511210, "cCompany": "Tischlerei Beispiel GmbH", "cCity": "Musterstadt"}
    return json.dumps({"sHash": digest, "data": data, "customer": customer}, separators=(",", ":"))


def _write_private(path: Path, text: str) -> None:
    """Put `text` into a file that only we may read, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
