"""Encryption at rest of the log and its catalogue: AES-256-GCM, a key for each file, a random nonce for each frame.

Nonce rule: 96 random bits a frame, stored before it. The key is derived (HKDF-SHA-256) from the operator's key and the
file's own random salt, so that one key seals a few hundred thousand frames at most; a frame that is written again
after a failure has another nonce. Source: NIST SP 800-38D §8.2.2
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from gulou.kernel.errors import Fault, Invalid

NONCE_BYTES = 12
TAG_BYTES = 16
_KEY_BYTES = 32
_MAX_FILE = 65_536


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Seal:
    """Seals and opens the frames of one file."""

    def __init__(self, cipher: _Cipher) -> None:
        self._cipher = cipher

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Return nonce, sealed bytes and tag. ``bound`` stays readable and is part of what ``open`` checks."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes | None:
        """Return the plain bytes; None when they, or what they are bound to, were changed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except InvalidTag:
            return None


class LogKeys:
    """The operator's keys: the first seals, all open. Nothing here is ever shown.

    Args:
        file: named in errors.
        keys: 32 bytes each.
    """

    def __init__(self, file: Path, keys: list[bytes]) -> None:
        self._file = file
        self._keys = {_key_id(key): key for key in keys}
        self.newest = next(iter(self._keys))
        """Id of the key that seals; never 0, which says that a file is not sealed."""

    @classmethod
    def read(cls, file: Path | None) -> LogKeys | None:
        """Read a key file: one key a line, 64 hexadecimal digits; the first seals, the others only open.

        Returns:
            None when no file is set.

        Raises:
            Invalid: ``log.key_unreadable``.
        """
        if file is None:
            return None
        try:
            if file.stat().st_size > _MAX_FILE:
                raise Invalid("log.key_unreadable", file=str(file), problem="too long")
            lines = file.read_text(encoding="ascii").split()
            keys = [bytes.fromhex(line) for line in lines]
        except (OSError, ValueError) as error:
            problem = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not hexadecimal"
            raise Invalid("log.key_unreadable", file=str(file), problem=problem) from error
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise Invalid("log.key_unreadable", file=str(file), problem="a key has 64 hexadecimal digits, one a line")
        return cls(file, keys)

    def seal_for(self, path: Path, key_id: int, salt: bytes) -> Seal:
        """Return the seal of one file.

        Raises:
            Fault: ``log.key_wrong``: it was sealed with another key.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._keys.get(key_id)
        if key is None:
            raise Fault("log.key_wrong", file=str(path), key_file=str(self._file))
        return Seal(AESGCM(_derive(key, salt, b"gulou log frames")))


def seal_of(keys: LogKeys | None, path: Path, key_id: int, salt: bytes) -> Seal | None:
    """Return the seal of a file by what its header says; None for one that is not sealed.

    Raises:
        Fault: ``log.key_missing``: it is sealed, and no key is set; ``log.key_wrong``.
    """
    if key_id == 0:
        return None
    if keys is None:
        raise Fault("log.key_missing", file=str(path))
    return keys.seal_for(path, key_id, salt)


def _key_id(key: bytes) -> int:
    return int.from_bytes(_derive(key, b"", b"gulou log key id")[:8], "little") | 1


def _derive(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=purpose).derive(key)
