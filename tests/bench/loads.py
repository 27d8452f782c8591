"""Makes signed callbacks of a given size and sends them by wrk, which waits for answers; `open_loop` does not.

What is loaded and what is made of the figures is `receiving`'s.
"""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRK = "wrk"
BODIES = 2000
_FIRST_ID = 900_000

# Every thread walks through all bodies, from a place of its own.
_SCRIPT = """
local bodies, headers, at = {}, {["Content-Type"] = "application/json"}, 0
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  at = number * 613
  local pause = tonumber(args[2])
  if pause > 0 then delay = function() return math.random(0, 2 * pause) end end
end
function request()
  at = at % #bodies + 1
  return wrk.format("POST", nil, headers, bodies[at])
end
"""

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_NUMBER = re.compile(r"(\d+) requests in")
_WRONG = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_SHARE = re.compile(r"^\s+(50|99|99\.9)%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What wrk saw in one round."""

    rate: float
    requests: int
    wrong: int
    p50_ms: float
    p99_ms: float


def need_wrk() -> None:
    """End with one line where wrk is missing."""
    if shutil.which(WRK) is None:
        raise SystemExit("make bench needs wrk: install it (Debian, Ubuntu: apt install wrk; macOS: brew install wrk).")


def write_bodies(folder: Path, size: int, secret: str) -> Path:
    """Write distinct signed items of about `size` bytes, one a line; return the file."""
    file = folder / f"bodies-{size}"
    with file.open("w") as lines:
        for number in range(BODIES):
            lines.write(json.dumps(_item(_FIRST_ID + number, size, secret), separators=(",", ":")) + "\n")
    return file


def write_script(folder: Path) -> Path:
    """Write what wrk is to send; return the file."""
    file = folder / "callbacks.lua"
    file.write_text(_SCRIPT)
    return file


def send(url: str, script: Path, bodies: Path, *, connections: int, seconds: float, rate: float | None = None) -> Load:
    """Keep `connections` busy for so long; with a `rate` each pauses, so that together they come near it."""
    threads = min(2, connections)
    pause_ms = round(connections / rate * 1000) if rate else 0
    words = [WRK, "-t", str(threads), "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--latency"]
    words += ["-s", str(script), url, "--", str(bodies), str(pause_ms)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    shares = {share: float(value) * _MS[unit] for share, value, unit in _SHARE.findall(done.stdout)}
    if not {"50", "99"} <= shares.keys():
        raise ValueError(f"wrk gave no latencies:\n{done.stdout}")
    errors = _SOCKET.search(done.stdout)
    wrong = _WRONG.search(done.stdout)
    return Load(
        rate=float(_found(_RATE, done.stdout)),
        requests=int(_found(_NUMBER, done.stdout)),
        wrong=int(wrong[1] if wrong else 0) + (sum(map(int, errors.groups())) if errors else 0),
        p50_ms=shares["50"],
        p99_ms=shares["99"],
    )


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    if found is None:
        raise ValueError(f"wrk did not say {pattern.pattern}")
    return found[1]


def _item(inquiry_id: int, size: int, secret: str) -> dict[str, Any]:
    broker = "f3a91c77d0b24e5e"
    signed = f"{broker}{inquiry_id}{secret}"
    data: dict[str, Any] = {
        "bToken": broker,
        "bExternalId": "Makler-7",
        "iId": inquiry_id,
        "iCreated": "2025-03-01",
        "iUpdated": "2025-03-02",
        "status": 6,
        "productId": 81,
        "productName": "Betriebshaftpflicht",
        "industryId": 107,
        "industryName": "Handwerk",
        "insurerId": 1234,
        "insurerName": "Beispiel Versicherung AG",
        "premiumYearly": "487,90",
        "externalReferences": [],
    }
    customer = {
        "cId": inquiry_id + 1_000_000,
        "cFirstName": "Erika",
        "cLastName": "Beispiel",
        "cEmail": f"erika.{inquiry_id}@example.org",
        "cCompany": "Beispiel & Söhne GmbH",
    }
    item = {
        "event": "InquiryOrdered",
        "sHash": hashlib.md5(signed.encode()).hexdigest(),  # noqa: S324
        "data": data,
        "customer": customer,
    }
    number = 0
    while len(json.dumps(item, separators=(",", ":"))) < size - 60:
        data["externalReferences"].extend(_references(number, size))
        number += len(data["externalReferences"])
    return item


def _references(number: int, size: int) -> list[dict[str, str]]:
    """Return some of the references that fill a body up; many at once where much is to be filled."""
    few = max(1, size // 5_000)
    return [
        {"origin": "crm", "paramKey": f"Number{number + one}", "paramValue": f"{number + one:08d}"}
        for one in range(few)
    ]
