"""Puts the commands together, and turns what goes wrong in them into one message and an exit code.

Exit codes: 0 done, 1 refused or failed, 2 not understood, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer._click.core import Context
from typer._click.exceptions import BadParameter, ClickException
from typer.core import TyperGroup

from app.cli import (
    audit,
    backfill,
    calibrate,
    export,
    import_files,
    keys,
    rebuild,
    replay,
    reverify,
    running,
    secrets,
    simulate,
    source_secrets,
    source_tokens,
    sources,
    submit,
)
from app.cli.output import FAILED, explain, show_error, to_place


class _Program(TyperGroup):
    """The group of all commands; with `--json` every error is one JSON document on standard error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that `args` name and exit."""
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        own_errors = standalone_mode and not as_json
        try:
            code = super().main(words, prog_name, complete_var, own_errors, windows_expand_args, **extra)
        except ClickException as error:
            if not standalone_mode:
                raise
            show_error(error.format_message(), as_json=True)
            code = error.exit_code
        except Exception as error:  # explained, and with --json told as JSON in any case; all else is raised again
            reason = explain(error)
            if not standalone_mode or (reason is None and not as_json):
                raise
            show_error(reason or f"a fault of Callbox: {to_place(error)}", as_json=as_json)
            code = FAILED
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def invoke(self, ctx: Context) -> Any:
        """Run a command; what is wrong with a value is told without the words of the library that looked at it."""
        try:
            return super().invoke(ctx)
        except BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=_Program,
    name="callbox",
    help="Receives what insurance platforms call back with, keeps it, and answers questions about it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
running.register(app)
app.add_typer(sources.app, name="sources")
sources.app.add_typer(source_tokens.app, name="token")
sources.app.add_typer(source_secrets.app, name="secret")
app.add_typer(keys.app, name="keys")
app.add_typer(secrets.app, name="secrets")
app.add_typer(audit.app, name="audit")
replay.register(app)
reverify.register(app)
calibrate.register(app)
rebuild.register(app)
import_files.register(app)
backfill.register(app)
simulate.register(app)
export.register(app)
submit.register(app)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="callbox")
