"""Holds the settings: read once at start from the environment, refused with name and reason when wrong.

Nothing of ours reads the environment at import, and no other module what is set in it from outside; the libraries of
document stores look for their `AWS_...` by themselves.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.crypto import Vault

PREFIX = "CALLBOX_"
_FROM_FILE = ("DATABASE_URL", "DATABASE_READ_URL", "ENCRYPTION_KEY")
_HIGHEST_PORT = 65535


class ConfigError(Exception):
    """A setting is wrong; the text names it and says why."""


class Settings(BaseSettings):
    """What can be set from outside; each is the environment variable `CALLBOX_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    database_url: SecretStr | None = Field(None, description="PostgreSQL 15 to 18; unset: the embedded one in DATA_DIR")
    database_read_url: SecretStr | None = Field(None, description="a replica for questions; unset: DATABASE_URL")
    data_dir: Path = Field(Path("var"), description="where the database, its key, the spool and the documents live")
    spool_dir: Path | None = Field(None, description="unset: `spool` inside DATA_DIR")
    spool_max_bytes: int = Field(1 << 30, ge=1 << 20, description="the most the spool may hold, in bytes")
    migrate: Literal["auto", "off"] = Field("auto", description="`off` for fleets that migrate by `callbox migrate`")
    public_url: str | None = Field(None, description="what callback URLs begin with; unset: http://HOST:PORT")
    host: str = Field("127.0.0.1", description="the address to listen on")
    port: int = Field(8000, ge=1, le=65535, description="the port to listen on")
    max_body_bytes: int = Field(5 << 20, ge=1024, le=64 << 20, description="the largest callback, in bytes")
    document_store: str | None = Field(None, description="`s3://bucket/prefix` or `file:///...`; unset: in DATA_DIR")
    max_document_bytes: int = Field(50 << 20, ge=1024, le=1 << 30, description="the largest document, in bytes")
    keep_months: int | None = Field(None, ge=2, le=1200, description="whole months to keep what came; unset: for ever")
    encryption_key: SecretStr | None = Field(None, description="32 bytes base64url; made in DATA_DIR when embedded")
    trusted_proxies: str = Field("", description="addresses or networks whose X-Forwarded-For is believed, by comma")
    cors_origins: str = Field("", description="origins of dashboards in a browser, by comma")
    time_zone: str = Field("Europe/Berlin", description="the zone of platform times that have none")
    log_format: Literal["console", "json"] = Field("console", description="how log lines look")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env file is read: compose does that
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - one file a variable instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then variables, then the files that `..._FILE` variables name."""
        return init_settings, env_settings, _FileSource(settings_cls)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{value!r} is no time zone of the tz database") from error
        return value

    @field_validator("public_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        _check_web_address(value)
        if "?" in value or "#" in value:
            raise ValueError("ends in a query or fragment, to which no path can be added")
        return value.rstrip("/")

    @field_validator("document_store")
    @classmethod
    def _store_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("s3://", "file:///")):
            raise ValueError("begins with neither s3:// nor file:///")
        if value is not None and re.match(r"s3://(/|$)", value):
            raise ValueError("names no bucket")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for word in filter(None, (word.strip() for word in value.split(","))):
            ipaddress.ip_network(word, strict=False)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        origins = [origin for word in value.split(",") if (origin := word.strip().removesuffix("/"))]
        for origin in origins:
            if origin != "*":
                _check_web_address(origin)
                if origin.count("/") != len("//"):
                    raise ValueError(f"{origin!r} has a path; an origin is like https://dashboard.example.org")
        return ",".join(origins)

    @field_validator("database_url", "database_read_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_database_url(value.get_secret_value())
        return value

    @field_validator("encryption_key")
    @classmethod
    def _usable_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Vault(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _key_beside_database(self) -> "Settings":
        if self.database_url is not None and self.encryption_key is None:
            raise ValueError(
                f"{PREFIX}ENCRYPTION_KEY is required with {PREFIX}DATABASE_URL (`callbox secrets new-key` makes one)"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Tell whether the database is our own, in `data_dir`."""
        return self.database_url is None

    @property
    def spool_path(self) -> Path:
        """Return the folder of the spool."""
        return self.spool_dir or self.data_dir / "spool"

    @property
    def base_url(self) -> str:
        """Return what callback URLs begin with, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - an address one can call
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def zone(self) -> ZoneInfo:
        """Return the zone of platform times that have none."""
        return ZoneInfo(self.time_zone)


class _FileSource(PydanticBaseSettingsSource):
    """Reads the secrets that stand in a file named by `CALLBOX_<NAME>_FILE`."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's shape
        """Give nothing field by field; `__call__` gives all at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in _FROM_FILE:
            path = os.environ.get(f"{PREFIX}{name}_FILE")
            if path:
                try:
                    value = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise ConfigError(f"{PREFIX}{name}_FILE: {path}: {error.strerror}") from error
                except UnicodeDecodeError:
                    raise ConfigError(f"{PREFIX}{name}_FILE: {path}: is no text in UTF-8") from None
                if not value:
                    raise ConfigError(f"{PREFIX}{name}_FILE: {path}: is empty")
                values[name.lower()] = value
        return values


def _check_web_address(value: str) -> None:
    """Raise ValueError where a value is no address of the web, with scheme and host."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("begins with neither http:// nor https://")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from None
    if not parts.hostname or re.search(r"\s", value):
        raise ValueError("is no address such as https://callbacks.example.org")


def _check_database_url(value: str) -> None:
    """Raise ValueError where a value is no address of PostgreSQL; its text tells nothing of the value but names."""
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("begins not with postgresql://")
    from psycopg import ProgrammingError  # noqa: PLC0415 - needed only where there is such an address
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    where, _, query = value.partition("?")
    if where.count("@") > 1:
        raise ValueError("has an @ too many; one in a password is written %40")
    try:
        known = conninfo_to_dict(value)
    except ProgrammingError as error:
        reason = str(error).strip()
        is_plain = reason.startswith("invalid URI query parameter") and "@" not in query
        told = reason if is_plain else "cannot be read"
        raise ValueError(f"{told}; it is like postgresql://user:password@host:5432/database") from None
    if any("@" in host[1:] for host in str(known.get("host", "")).split(",")):  # libpq has sockets that begin with one
        raise ValueError("names a host with an @; one in a password is written %40")
    ports = [port for port in str(known.get("port", "")).split(",") if port]
    if not all(port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT for port in ports):
        raise ValueError("names a port that is none")


def misnamed_variables() -> list[str]:
    """Return the variables that are named as ours are, and are none of them."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}{name}_FILE" for name in _FROM_FILE}
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment, `overrides` first.

    Raises:
        ConfigError: a value is wrong; the text names the variable and the reason, never a secret.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = PREFIX + ".".join(map(str, problem["loc"])).upper() + ": " if problem["loc"] else ""
            lines.append(name + problem["msg"].removeprefix("Value error, "))
        raise ConfigError("; ".join(lines)) from None
