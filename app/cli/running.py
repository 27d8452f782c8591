"""The commands that run the service or look at its state: `serve`, `work`, `migrate`, `doctor`.

The processes behind `serve` and `work` are `app.server`'s.
"""

from typing import Annotated

import typer

from app.cli.output import FAILED, JsonFlag, say, show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (serve, work, migrate, doctor):
        app.command()(command)


def serve(
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many processes receive and answer.")] = 1,
    no_work: Annotated[bool, typer.Option("--no-work", help="Leave out the processor and the jobs.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Receive and answer over HTTP, process what came, and do the jobs, until it is stopped."""
    from app.config import load_settings  # noqa: PLC0415
    from app.server import serve as run  # noqa: PLC0415

    code = run(load_settings(), workers=workers, work=not no_work)
    _end(code, as_json=as_json)


def work(as_json: JsonFlag = False) -> None:
    """Process what came and do the jobs, beside others that stand by, until it is stopped."""
    from app.config import load_settings  # noqa: PLC0415
    from app.server import work as run  # noqa: PLC0415

    code = run(load_settings())
    _end(code, as_json=as_json)


def _end(code: int, *, as_json: bool) -> None:
    """Say with `--json` that it has ended; without, the log has said so."""
    if as_json:
        show({"stopped": True, "code": code}, "", as_json=True)
    raise typer.Exit(code)


def migrate(as_json: JsonFlag = False) -> None:
    """Bring the tables up to date, whatever CALLBOX_MIGRATE says."""
    from app.accounts.opening import database_of  # noqa: PLC0415
    from app.config import load_settings  # noqa: PLC0415
    from app.crypto import new_encryption_key  # noqa: PLC0415
    from app.processing.retention import drop_waiting  # noqa: PLC0415
    from app.storage import database  # noqa: PLC0415
    from app.times import now  # noqa: PLC0415

    settings = load_settings(encryption_key=new_encryption_key())  # nothing is decrypted: the tables' owner needs none
    with database_of(settings, say) as url:
        with database.connect(url) as connection:
            before = database.present_revision(connection)
        database.migrate(url, say)
        if settings.keep_months is not None:
            with database.connect(url) as connection:
                drop_waiting(connection, settings.keep_months, now())
    revision = database.newest_revision()
    document = {"revision": revision, "before": before, "changed": before != revision}
    done = f"The tables are at revision {revision}" + ("." if before != revision else ", as before.")
    show(document, done, as_json=as_json)


def doctor(as_json: JsonFlag = False) -> None:
    """Say what is well and what is not; changes nothing, and fails if something is not well."""
    from app.cli.doctor import examine  # noqa: PLC0415

    findings = examine(say)
    well = all(finding.well for finding in findings)
    document = {
        "ok": well,
        "checks": [{"name": one.name, "ok": one.well, "detail": one.detail, **one.values} for one in findings],
    }
    text = "\n".join(f"{'ok  ' if one.well else 'FAIL'}  {one.name}: {one.detail}" for one in findings)
    show(document, text, as_json=as_json)
    if not well:
        raise typer.Exit(FAILED)
