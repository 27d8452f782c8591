"""Runs the service: a small supervisor, N receivers that inherit its socket, and one process that works.

What a receiver does is settled in `app.main`, what the work process does in `app.processing`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.config import Settings

__all__ = ["serve", "work"]


def serve(settings: "Settings", workers: int = 1, work: bool = True) -> int:
    """Run the whole service until SIGTERM or SIGINT; return the exit status.

    What keeps it from starting is said in one line on standard error, with the setting and the reason.
    """
    from app.server.supervisor import supervise  # noqa: PLC0415 - the child processes import this package too

    return supervise(settings, receivers=workers, with_work=work)


def work(settings: "Settings") -> int:
    """Process deliveries until SIGTERM or SIGINT, beside a `serve` or alone; return the exit status."""
    from app.server.working import work_alone  # noqa: PLC0415

    return work_alone(settings)
