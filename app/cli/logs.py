"""Sends what a command logs beside its answer to standard error: what a person should see, such as retries.

What is logged is decided where it happens.
"""

import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from app.config import Settings


class _StandardError:
    """Standard error as it is at the moment of writing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def log_to_standard_error(settings: "Settings") -> None:
    """Log warnings and worse in the form that the settings name, and nothing on standard output."""
    import structlog  # noqa: PLC0415 - heavy

    from app.log import configure_logging  # noqa: PLC0415

    configure_logging(settings.model_copy(update={"log_level": "warning"}), cast("TextIO", _StandardError()))
    structlog.configure(cache_logger_on_first_use=False)  # a command is short, and may be one of many in a process
