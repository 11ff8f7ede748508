"""The bytes of a log segment; the format is written down in README.md.

Nothing here opens files: functions over a file descriptor, so that recovery and reading share them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from xxhash import xxh3_64, xxh3_64_intdigest

from gulou.connectivity.intake.sealing import NONCE_BYTES, TAG_BYTES, Seal

SEGMENT_MAGIC = b"GULOUSEG"
FRAME_MAGIC = b"GFR1"
FORMAT_VERSION = 1
SEALED_VERSION = 2
DATA_OFFSET = 64
ALIGNMENT = 8

_HEAD = struct.Struct("<8sIIQQQ")  # magic, version, zero, first sequence, seed, checksum of what precedes
_SEALED_HEAD = struct.Struct("<8sIIQQQQ")  # magic, version, cipher, first sequence, seed, key, checksum
_AES_256_GCM = 1
_FRAME = struct.Struct("<4sIIQIQ")  # magic, records, payload length, first sequence, header check, checksum
_FIELDS = struct.Struct("<4sIIQ")
_CHECKS = struct.Struct("<IQ")
_LENGTH = struct.Struct("<I")
_SCAN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """A segment's own header.

    Args:
        seed: random per use of the file; part of every frame's checksum, so that neither the file's earlier life nor
            bytes that a sender chose can pass for a frame.
        key_id: which key seals the frames; 0: none does.
    """

    first_sequence: int
    seed: int
    key_id: int = 0

    @property
    def salt(self) -> bytes:
        """What makes this use of the file's key its own."""
        return struct.pack("<QQ", self.seed, self.first_sequence)


@dataclass(frozen=True, slots=True)
class Frame:
    """One commit: ``count`` records with the sequences ``first_sequence`` and up; the next frame begins at ``end``.

    Args:
        records: empty when the frame was read without the key that opens it.
    """

    first_sequence: int
    count: int
    records: tuple[bytes, ...]
    end: int


def head_bytes(head: Head) -> bytes:
    """Encode a segment header, padded to ``DATA_OFFSET``."""
    if head.key_id:
        fields = (SEGMENT_MAGIC, SEALED_VERSION, _AES_256_GCM, head.first_sequence, head.seed, head.key_id, 0)
        checked = _SEALED_HEAD.pack(*fields)[:-8]
    else:
        checked = _HEAD.pack(SEGMENT_MAGIC, FORMAT_VERSION, 0, head.first_sequence, head.seed, 0)[:-8]
    return (checked + _pack_u64(xxh3_64_intdigest(checked))).ljust(DATA_OFFSET, b"\0")


def read_head(descriptor: int) -> Head | None:
    """Read a segment's header; None when it is not one, or damaged."""
    data = os.pread(descriptor, _SEALED_HEAD.size, 0)
    if len(data) < _SEALED_HEAD.size or data[:8] != SEGMENT_MAGIC:
        return None
    version = int.from_bytes(data[8:12], "little")
    if version == FORMAT_VERSION:
        _, _, _, first_sequence, seed, checksum = _HEAD.unpack(data[: _HEAD.size])
        return Head(first_sequence, seed) if checksum == xxh3_64_intdigest(data[: _HEAD.size - 8]) else None
    _, _, cipher, first_sequence, seed, key_id, checksum = _SEALED_HEAD.unpack(data)
    if version != SEALED_VERSION or cipher != _AES_256_GCM or checksum != xxh3_64_intdigest(data[:-8]):
        return None
    return Head(first_sequence, seed, key_id)


def frame_bytes(records: Iterable[bytes], first_sequence: int, seed: int, seal: Seal | None = None) -> bytes:
    """Encode one commit, padded to ``ALIGNMENT``."""
    parts: list[bytes] = []
    for record in records:
        parts.append(_LENGTH.pack(len(record)))
        parts.append(record)
    payload, count = b"".join(parts), len(parts) // 2
    length = len(payload) + (0 if seal is None else NONCE_BYTES + TAG_BYTES)
    fields = _FIELDS.pack(FRAME_MAGIC, count, length, first_sequence)
    if seal is not None:
        payload = seal.seal(payload, fields)
    checks = _CHECKS.pack(_header_check(fields, seed), _checksum(fields, payload, seed))
    return b"".join((fields, checks, payload, bytes(-length % ALIGNMENT)))


def read_frame(
    descriptor: int, offset: int, size: int, head: Head, seal: Seal | None = None, *, content: bool = True
) -> Frame | None:
    """Read the frame at ``offset``; None when there is no whole and sound one.

    Args:
        size: length of the file, bytes.
        seal: opens what is sealed; without it a sealed frame comes without its records.
        content: False: only see whether it is sound, and how much it holds.
    """
    header = os.pread(descriptor, _FRAME.size, offset)
    if len(header) < _FRAME.size or header[:4] != FRAME_MAGIC:
        return None
    _, count, length, first_sequence, header_check, checksum = _FRAME.unpack(header)
    fields = header[: _FIELDS.size]
    if offset + _FRAME.size + length > size or _header_check(fields, head.seed) != header_check:
        return None
    payload: bytes | None = os.pread(descriptor, length, offset + _FRAME.size)
    if payload is None or len(payload) < length or _checksum(fields, payload, head.seed) != checksum:
        return None
    end = offset + _FRAME.size + length + (-length % ALIGNMENT)
    if not content or (head.key_id and seal is None):
        return Frame(first_sequence, count, (), end)
    if seal is not None:
        payload = seal.open(payload, fields)
    return None if payload is None else Frame(first_sequence, count, _split(payload, count), end)


def find_later_frame(descriptor: int, offset: int, size: int, head: Head, after: int) -> int | None:
    """Return where, past ``offset``, a sound frame with a sequence over ``after`` stands; None if nowhere.

    One there means that what failed at ``offset`` is damage, not the torn end of the last write: a write begins only
    when the one before it is durable.
    """
    position = offset + ALIGNMENT
    while position < size:
        block = os.pread(descriptor, _SCAN_BYTES, position)
        found = block.find(FRAME_MAGIC)
        while found >= 0:
            if (position + found) % ALIGNMENT == 0:
                frame = read_frame(descriptor, position + found, size, head, content=False)
                if frame is not None and frame.first_sequence > after:
                    return position + found
            found = block.find(FRAME_MAGIC, found + 1)
        position += max(len(block) - len(FRAME_MAGIC) + 1, 1) if len(block) == _SCAN_BYTES else size
    return None


def _split(payload: bytes, count: int) -> tuple[bytes, ...]:
    records: list[bytes] = []
    position = 0
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(payload, position)
        position += _LENGTH.size
        records.append(payload[position : position + length])
        position += length
    return tuple(records)


def _header_check(fields: bytes, seed: int) -> int:
    """Spares recovery from reading a long payload for every header that a sender may have forged in its raw bytes."""
    return xxh3_64_intdigest(fields, seed=seed) & 0xFFFFFFFF


def _checksum(fields: bytes, payload: bytes, seed: int) -> int:
    digest = xxh3_64(fields, seed=seed)
    digest.update(payload)
    return digest.intdigest()


def _pack_u64(number: int) -> bytes:
    return number.to_bytes(8, "little")
