"""Encrypts what must not lie readable in the database, and makes and hashes tokens and keys.

Where the encrypted values are kept is the storage room's business.
"""

import base64
import binascii
import hashlib
import os
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32

CALLBACK_TOKEN = re.compile(r"cbt_[A-Za-z0-9_-]{43}")
API_KEY = re.compile(r"cbx_[A-Za-z0-9_-]{43}")
# As in a form or a query, where `_`, `-` and others may be percent-encoded, once or more often.
_MASKED_SHAPES = re.compile(r"(cb[tx](?:_|%(?:25)*5[Ff]))(?:[A-Za-z0-9_-]|%(?:25)*[2-7][0-9A-Fa-f]){43}")


class WrongKeyError(Exception):
    """The encryption key does not fit what was encrypted with it."""


class Vault:
    """Encrypts and decrypts with one key (AES-256-GCM); a value is bound to the `purpose` it was encrypted for."""

    def __init__(self, key: str) -> None:
        try:
            raw = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        except (binascii.Error, ValueError) as error:
            raise ValueError("the encryption key is not base64url") from error
        if len(raw) != _KEY_BYTES:
            raise ValueError(f"the encryption key has {len(raw)} bytes after decoding, 32 are needed")
        self._aead = AESGCM(raw)

    def encrypt(self, text: str, purpose: str) -> bytes:
        """Return `text` encrypted; a different result each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, text.encode(), purpose.encode())

    def decrypt(self, blob: bytes, purpose: str) -> str:
        """Return the text behind `blob`.

        Raises:
            WrongKeyError: another key or another purpose encrypted it, or it was changed.
        """
        nonce, sealed = blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, sealed, purpose.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise WrongKeyError("CALLBOX_ENCRYPTION_KEY does not fit the stored secrets") from error


def new_encryption_key() -> str:
    """Return a fresh key for `Vault`: 32 random bytes, base64url."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode().rstrip("=")


def new_callback_token() -> str:
    """Return a fresh token of a callback URL: `cbt_` and 256 random bits."""
    return "cbt_" + secrets.token_urlsafe(32)


def new_api_key() -> str:
    """Return a fresh API key: `cbx_` and 256 random bits."""
    return "cbx_" + secrets.token_urlsafe(32)


def sha256(text: str) -> bytes:
    """Return the digest by which tokens and keys are looked up; they are random, so no salt is needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def mask_tokens(text: str) -> str:
    """Return `text` with each callback token and API key overwritten, found by its shape wherever it stands."""
    return _MASKED_SHAPES.sub(lambda match: match[1] + "*" * 43, text) if "cb" in text else text
