"""Says to the person who started the service what they need to know, in the form that the settings name.

What happens later is logged where it happens.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from app.config import Settings

CANNOT_START: Final = 2
"""The exit status where a setting or the machine keeps the service from starting."""


class StartError(Exception):
    """The service cannot start; the text says why."""


def speaker(settings: Settings) -> Callable[[str], None]:
    """Return what takes sentences for a person: plain lines on a console, log lines where logs are JSON."""
    if settings.log_format == "json":
        log = _logger(settings)
        return lambda text: log.info("service.said", text=text)
    return _write


def refuse(settings: Settings, error: Exception) -> None:
    """Say why something cannot start; logs at any level tell it."""
    if settings.log_format == "json":
        _logger(settings).error("service.refused", reason=str(error))
    else:
        _write(f"callbox: {error}")


def _logger(settings: Settings) -> Any:
    import structlog  # noqa: PLC0415 - the start on a console does without

    from app.log import configure_logging  # noqa: PLC0415 - as above

    configure_logging(settings)
    return structlog.get_logger(__name__)


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
