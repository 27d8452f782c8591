"""Opens the socket that all receivers share, and says who has the port where it is taken.

What is answered on it is the receivers' business.
"""

import errno
import re
import socket
import time
from pathlib import Path

BACKLOG = 2048
_RETRY_S = 1.0
_PAUSE_S = 0.05
_LISTENING = "0A"  # the state in /proc/net/tcp


class PortError(Exception):
    """The address cannot be listened on; the text says why and what to do."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket, which waits a moment for one that is just being closed.

    Raises:
        PortError: it is taken, not allowed, or no address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise PortError(f"CALLBOX_HOST: {host!r} is no address: {error.strerror}") from error
    until = time.monotonic() + _RETRY_S
    while True:
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(BACKLOG)
        except OSError as error:
            opened.close()
            if error.errno != errno.EADDRINUSE:
                raise PortError(f"CALLBOX_HOST, CALLBOX_PORT: {host} port {port}: {error.strerror}") from error
            if time.monotonic() > until:
                raise PortError(_taken(port)) from error
            time.sleep(_PAUSE_S)
        else:
            opened.setblocking(False)  # noqa: FBT003 - the standard library's way
            return opened


def _taken(port: int) -> str:
    other = port + 1 if port < 65535 else 8000  # noqa: PLR2004 - the highest port
    holder = find_holder(port)
    by = f" by {holder}" if holder else ""
    return f"port {port} is taken{by}. Stop that, or take another port: CALLBOX_PORT={other} make run"


def find_holder(port: int) -> str | None:
    """Return `NAME (process PID)` of who listens on a port, where the system tells us (Linux)."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return None
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(entry.readlink()) in wanted for entry in folder.iterdir()):
                name = (folder.parent / "comm").read_text().strip()
                return f"{name} (process {folder.parent.name})"
        except OSError:  # ended meanwhile, or not ours to look into
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (Path("/proc/net") / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and re.fullmatch(rf"[0-9A-F]+:{port:04X}", fields[1]):
                inodes.add(fields[9])
    return inodes
