"""The key file of this doce: everything secret that must outlive a restart is derived from it or encrypted by it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from doce.errors import InternalServerError

KEY_BYTES, NONCE_BYTES = 32, 12


class SecretKey:
    """32 random bytes in a file of mode 0600."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path) -> SecretKey:
        """The key in `path`, made if absent: of two processes that make it at once, one wins and both use it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            half = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(half, path)
            except FileExistsError:
                pass
            finally:
                half.unlink()
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise InternalServerError(f"The key file {path.name} is damaged.", hint="Restore it from a backup of the data folder.")
        return cls(key)

    def derive(self, purpose: str) -> str:
        """48 hexadecimal characters that only this doce can make, the same for the same purpose."""
        digest = hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()
        return digest[:48]

    def sealed(self, secret: SecretStr, purpose: str) -> str:
        """`secret` encrypted (AES-256-GCM), to be opened for the same purpose only. Different every time."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher(purpose).encrypt(nonce, secret.get_secret_value().encode(), None)).decode()

    def opened(self, sealed: str, purpose: str) -> SecretStr:
        """What `sealed` made. Raises InternalServerError when this doce did not, or not for this purpose."""
        try:
            data = base64.b64decode(sealed, validate=True)
            return SecretStr(self._cipher(purpose).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None).decode())
        except (ValueError, InvalidTag):
            raise InternalServerError(
                "A stored secret cannot be opened: the key file is not the one it was kept with.",
                hint="Restore secret.key from the backup of the same data folder, or set the secret again.",
            ) from None

    def _cipher(self, purpose: str) -> AESGCM:
        return AESGCM(hmac.new(self._key, f"seal:{purpose}".encode(), hashlib.sha256).digest())
