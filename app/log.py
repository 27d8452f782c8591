"""Sets up the logs: one line an event on standard error, for people or as JSON.

What is logged is decided where it happens, by the name `noun.verb_past` with fields; never a payload,
a path or a person.
"""

import logging
import sys
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.config import Settings
from app.crypto import mask_tokens

_NOISY = ("uvicorn.error", "httpx2", "httpcore2", "asyncio", "psycopg", "alembic")


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all logs, those of libraries too, to `stream` (standard error) in the form that the settings name."""
    target = stream or sys.stderr
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    last = _renderers(settings, colors=target.isatty())
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        foreign_pre_chain=[*shared, _name_library],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True  # it would print the token


def _renderers(settings: Settings, *, colors: bool) -> list[Processor]:
    if settings.log_format == "json":
        rendering: list[Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        rendering = [
            structlog.dev.ConsoleRenderer(
                colors=colors, timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
            )
        ]
    return [*rendering, _mask_line]


def _mask_line(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Overwrite tokens and keys in a finished line: the last line of defence, for no one should log them."""
    return mask_tokens(cast("str", line))


def _name_library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give what a library says our form: the event is that it spoke, its text a field."""
    record = event.get("_record")
    return {**event, "event": "library.spoke", "library": getattr(record, "name", "?"), "text": event["event"]}
