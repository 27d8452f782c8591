"""Settings: what is wrong is refused with its name and the reason, and secrets never show."""

from pathlib import Path

import pytest

from app.config import ConfigError, load_settings, misnamed_variables
from app.crypto import new_encryption_key


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PORT", "70000", "65535"),
        ("PORT", "many", "integer"),
        ("TIME_ZONE", "Europe/Atlantis", "Europe/Atlantis"),
        ("DATABASE_URL", "mysql://root:hush@localhost/x", "postgresql://"),
        ("ENCRYPTION_KEY", "hush", "32"),
        ("PUBLIC_URL", "callbacks.test", "http"),
        ("TRUSTED_PROXIES", "10.0.0.300", "10.0.0.300"),
        ("LOG_FORMAT", "xml", "json"),
        ("MAX_BODY_BYTES", "5", "1024"),
        ("PUBLIC_URL", "https://", "no address"),
        ("PUBLIC_URL", "https://a b", "no address"),
        ("PUBLIC_URL", "https://callbacks.test:x", "Port"),
        ("PUBLIC_URL", "https://callbacks.test?x=1", "query"),
        ("CORS_ORIGINS", "dashboard.test", "https://"),
        ("CORS_ORIGINS", "https://one.test, https://two.test/path", "two.test/path"),
        ("DOCUMENT_STORE", "s3://", "bucket"),
        ("DOCUMENT_STORE", "s3:///documents", "bucket"),
        ("DATABASE_URL", "postgresql://root:hush@localhost:x/y", "port"),
        ("DATABASE_URL", "postgresql://root:hush@localhost:1,localhost:70000/y", "port"),
        ("DATABASE_URL", "postgresql://root:hush@localhost/y?colour=red", "colour"),
        ("DATABASE_URL", "postgresql://root:hush@[localhost/y", "cannot be read"),
        ("DATABASE_READ_URL", "postgresql://root:hush@localhost:x/y", "port"),
        ("DATABASE_URL", "postgresql://root:p@hush@localhost/y", "%40"),
        ("DATABASE_URL", "postgresql://root:p@hush/x@localhost/y", "%40"),
        ("DATABASE_URL", "postgresql://root:p@one?hush=2@localhost/y", "cannot be read"),
        ("DATABASE_URL", "postgresql://localhost/y?host=one,hush@localhost", "%40"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"CALLBOX_{name}", value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert f"CALLBOX_{name}" in str(caught.value)
    assert reason in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_variable_that_is_no_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CALLBOX_KEEP_MONTHS", "callbox_port", "CALLBOX_ENCRYPTION_KEY_FILE", "OTHER", "CALLBOX_KEEP_MONTH"):
        monkeypatch.setenv(name, "12")
    assert misnamed_variables() == ["CALLBOX_KEEP_MONTH"]


def test_a_database_of_ones_own_needs_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^CALLBOX_ENCRYPTION_KEY is required with CALLBOX_DATABASE_URL"):
        load_settings(database_url="postgresql://localhost/x")


def test_secrets_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = new_encryption_key()
    (tmp_path / "key").write_text(key + "\n")
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY_FILE", str(tmp_path / "key"))
    settings = load_settings()
    assert settings.encryption_key is not None
    assert settings.encryption_key.get_secret_value() == key
    assert key not in repr(settings)
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="CALLBOX_ENCRYPTION_KEY_FILE"):
        load_settings()


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "UTF-8")])
def test_a_file_without_a_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "url").write_bytes(content)
    monkeypatch.setenv("CALLBOX_DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(ConfigError, match=f"CALLBOX_DATABASE_URL_FILE: .*{reason}"):
        load_settings()


def test_origins_may_be_anyone_and_end_in_a_slash() -> None:
    assert load_settings(cors_origins="https://one.test/ , http://localhost:3000,").cors_origins == (
        "https://one.test,http://localhost:3000"
    )
    assert load_settings(cors_origins="*").cors_origins == "*"


def test_callback_urls_begin_with_what_can_be_called() -> None:
    assert load_settings(host="0.0.0.0", port=8001).base_url == "http://127.0.0.1:8001"  # noqa: S104
    assert load_settings(public_url="https://callbacks.test/").base_url == "https://callbacks.test"
