"""Asks what is known against the locked dependencies, by pip-audit: `make advisories`, `make advisories ARGS='-s osv'`.

pip-audit takes what a service does not know for sound and says that nothing was found; here that is no all-clear.
"""

import json
import subprocess
import sys
from pathlib import Path

_LOCKED = Path(__file__).parent.parent.parent / "requirements-tools.txt"
"""Holds all other locks."""

SOUND, FOUND, UNKNOWN = 0, 1, 2
_SHOWN = 5


def main(arguments: list[str]) -> int:
    """Ask, print what came of it, and return SOUND, FOUND or UNKNOWN."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(_LOCKED), "--require-hashes", "--disable-pip"]
    command += ["--format=json", "--progress-spinner=off", *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    said, status = judged(ended.stdout, ended.stderr)
    print(said)  # noqa: T201 - that is what it is for
    return status


def judged(output: str, errors: str) -> tuple[str, int]:
    """Return what to say of pip-audit's JSON, or of its having none, and the status."""
    try:
        asked = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if errors.startswith("usage:"):
            return errors.strip(), UNKNOWN
        kinds = [line.partition(":")[0] for line in errors.splitlines() if line[:1].strip() and ":" in line]
        why = kinds[-1].rpartition(".")[2] if kinds else "no reason given"
        return f"The vulnerability service cannot be reached ({why}): nothing was audited.", UNKNOWN
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in asked
        for flaw in one.get("vulns", ())
    ]
    unknown = [one["name"] for one in asked if "skip_reason" in one]
    if unknown:
        names = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        found.append(
            f"The vulnerability service knows nothing of {len(unknown)} of {len(asked)} locked dependencies ({names}):"
            " of these nothing was audited."
        )
        return "\n".join(found), FOUND if len(found) > 1 else UNKNOWN
    if found:
        return "\n".join(found), FOUND
    return f"Nothing is known against the {len(asked)} locked dependencies.", SOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
