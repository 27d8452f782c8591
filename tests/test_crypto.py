"""What is encrypted comes back with the right key alone, and tokens are found by their shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto import Vault, WrongKeyError, mask_tokens, new_api_key, new_callback_token, new_encryption_key, sha256

_VAULT = Vault(new_encryption_key())


@given(st.text())
def test_what_is_encrypted_comes_back(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    sealed = _VAULT.encrypt(text, "secret")
    assert _VAULT.decrypt(sealed, "secret") == text
    assert sealed != _VAULT.encrypt(text, "secret")


def test_another_key_another_purpose_or_a_changed_byte_is_refused_by_name() -> None:
    sealed = _VAULT.encrypt("hush", "secret")
    for vault, blob, purpose in (
        (Vault(new_encryption_key()), sealed, "secret"),
        (_VAULT, sealed, "token"),
        (_VAULT, sealed[:-1] + bytes([sealed[-1] ^ 1]), "secret"),
        (_VAULT, b"", "secret"),
    ):
        with pytest.raises(WrongKeyError, match="CALLBOX_ENCRYPTION_KEY"):
            vault.decrypt(blob, purpose)


@pytest.mark.parametrize("key", ["", "short", "not base64 at all!", "A" * 42 + "é"])
def test_a_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="encryption key"):
        Vault(key)


def test_tokens_are_masked_wherever_they_stand() -> None:
    token, key = new_callback_token(), new_api_key()
    text = f"https:\\/\\/hooks.test\\/callbacks\\/wegroup\\/{token} and {key}."
    masked = mask_tokens(text)
    assert token not in masked
    assert key not in masked
    assert masked == f"https:\\/\\/hooks.test\\/callbacks\\/wegroup\\/cbt_{'*' * 43} and cbx_{'*' * 43}."
    assert mask_tokens("cbt_short") == "cbt_short"


@pytest.mark.parametrize("escape", ["%{:02X}", "%{:02x}", "%25{:02X}"])
@pytest.mark.parametrize("which", ["_", "_-", "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"])
def test_tokens_are_masked_where_they_are_percent_encoded(escape: str, which: str) -> None:
    secret = new_callback_token()[4:]
    sent = "".join(escape.format(ord(one)) if one in which else one for one in f"_{secret}")
    masked = mask_tokens(f"https://hooks.test/?to=cbt{sent}&more=1")
    assert masked == f"https://hooks.test/?to=cbt{escape.format(ord('_'))}{'*' * 43}&more=1"


def test_any_text_has_a_digest() -> None:
    assert len(sha256("\ud800")) == 32
    assert sha256("a") != sha256("b")
