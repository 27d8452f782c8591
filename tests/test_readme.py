"""The README says what is so: the settings, and word for word what the first start prints."""

import re
from pathlib import Path

from app.accounts.first_start import first_start, render_first_start
from app.config import Settings, load_settings
from app.crypto import Vault
from app.storage.database import connect

_README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def test_every_setting_stands_in_the_readme_with_its_default() -> None:
    stated = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\| (.+) \|$", _README, re.MULTILINE)
    expected = [
        (name.upper(), "" if field.default in {None, ""} else str(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]
    assert stated == expected


def test_the_first_start_prints_what_the_readme_shows(database_url: str, vault: Vault) -> None:
    with connect(database_url) as connection:
        printed = render_first_start(first_start(connection, vault, load_settings()))
    assert _without_values(printed).strip() in _without_values(_README)


def _without_values(text: str) -> str:
    """Return the text with what differs from one installation to the next made equal."""
    text = re.sub(r"(cb[tx]_)[A-Za-z0-9_-]{43}", r"\1…", text)
    text = re.sub(r'("sHash":")[0-9a-f]{32}', r"\1…", text)
    return re.sub(r"(secret +)[A-Za-z0-9_-]{32}$", r"\1…", text, flags=re.MULTILINE)
