"""Ports for the processes that tests start."""

import os
import random
import socket
from itertools import count

_FIRST, _EACH = 10_000, 2_000
_MOST_WORKERS = 11
_numbers = count(random.SystemRandom().randrange(_EACH))


def free_port() -> int:
    """Return a port of this machine that is free and is given to nobody else before it is listened on.

    The system hands out the ports from 32768 on to whoever opens a connection, so these lie below; each worker of the
    test run has its own, and takes one after the other.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MOST_WORKERS
    while True:
        port = _FIRST + worker * _EACH + next(_numbers) % _EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
