"""Measures how long it takes until the first callback is accepted: by a folder that is there, PostgreSQL included."""

import http.client
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import contenders

_ROUNDS = 5
_WITHIN_S = 60.0


def measured(folder: Path) -> dict[str, Any]:
    """Return in seconds, as medians of five, what `import app.main` takes and when the first callback is accepted."""
    imports = [_import_s() for _ in range(_ROUNDS)]
    port = contenders.free_port()
    environment = {
        name: value
        for name, value in contenders.settings(folder, "", port).items()
        if name not in ("CALLBOX_DATABASE_URL", "CALLBOX_ENCRYPTION_KEY")
    }
    added = contenders.command("sources", "add", "wegroup", contenders.SOURCE, "--json", environment=environment)
    path = str(json.loads(added)["callback_url"]).partition(f":{port}")[2]
    starts = [_start_s(port, path, environment) for _ in range(_ROUNDS)]
    return {"import_s": statistics.median(imports), "first_accepted_s": statistics.median(starts), "all_s": starts}


def _import_s() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-P", "-c", "import app.main"], cwd=contenders.ROOT, check=True)
    return round(time.monotonic() - begun, 2)


def _start_s(port: int, path: str, environment: dict[str, str]) -> float:
    begun = time.monotonic()
    with contenders.running(["-P", "-m", "app", "serve"], environment):
        while not _is_accepted(port, path):
            if time.monotonic() - begun > _WITHIN_S:
                raise TimeoutError(f"no callback is accepted at port {port}")
            time.sleep(0.01)
        return round(time.monotonic() - begun, 2)


def _is_accepted(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WITHIN_S)
    try:
        connection.request("POST", path, b'{"id": 1}', {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
