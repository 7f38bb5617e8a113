"""Packs, the index and chunks. Sources: specs/pack.md, specs/index.md, specs/chunk.md."""

import hmac

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import cbor
import keys

HEADER_BYTES, TRAILER_BYTES, CHUNK_BYTES_MAX = 80, 24, 4 << 20
CHUNK, FOOTER, TRAILER = range(3)


class PackError(Exception):
    """Bytes that are no pack of this vault, or a chunk that is not what its record says."""


def decompress(frame, length):
    """The plaintext of a frame, which must be exactly `length` bytes."""
    if length > CHUNK_BYTES_MAX:
        raise PackError(f"a chunk of {length} bytes")
    if not frame:
        raise PackError("an empty frame")
    if frame[0] == 0:
        plain = frame[1:]
    elif frame[0] == 1:
        try:
            # One byte more than allowed would show as a wrong length, and no more than that is ever written.
            plain = zstandard.ZstdDecompressor().stream_reader(frame[1:], read_across_frames=False).read(length + 1)
        except zstandard.ZstdError as error:
            raise PackError(f"a frame that does not decompress: {error}") from error
    else:
        raise PackError(f"a codec of a newer version ({frame[0]})")
    if len(plain) != length:
        raise PackError("a frame of another length than its record says")
    return plain


class Seal:
    """The key of one pack."""

    def __init__(self, vault, epoch, epoch_key, salt):
        self.cipher = ChaCha20Poly1305(keys.derive("larder 2026 pack key v1", epoch_key + salt))
        self.aad = vault + epoch.to_bytes(4, "little")

    def open(self, part, position, aad, sealed):
        nonce = part.to_bytes(4, "little") + position.to_bytes(8, "little")
        try:
            return self.cipher.decrypt(nonce, sealed, aad)
        except InvalidTag as error:
            raise PackError("a seal that does not open") from error

    def open_chunk(self, content, position, record, sealed):
        """The plaintext of the chunk with this record at this position."""
        chunk_id, kind, sealed_bytes, plain_bytes = record
        if len(sealed) != sealed_bytes:
            raise PackError("a chunk that is cut off")
        frame = self.open(CHUNK, position, self.aad + bytes([kind]) + chunk_id, sealed)
        plain = decompress(frame, plain_bytes)
        if content.chunk_id(kind, plain) != chunk_id:
            raise PackError("a chunk with another content than its id")
        return plain


class Pack:
    """A pack that is at hand in full: how the first chunk of a vault is found, without any index."""

    def __init__(self, data, vault, epoch_keys):
        if data[:8] != b"LARDPACK" or data[9:12] != bytes(3):
            raise PackError("not a pack")
        if data[8] != 1:
            raise PackError(f"a pack of version {data[8]}")
        self.epoch = int.from_bytes(data[12:16], "little")
        self.salt, commitment = data[16:48], data[48:80]
        if self.epoch not in epoch_keys:
            raise PackError(f"a pack of epoch {self.epoch}, whose key is not in the log")
        committed = [
            key
            for key in epoch_keys[self.epoch]
            if hmac.compare_digest(keys.derive("larder 2026 pack commitment v1", key + self.salt), commitment)
        ]
        if not committed:
            raise PackError("a pack under another key")
        key = committed[0]
        self.data, self.seal = data, Seal(vault, self.epoch, key, self.salt)
        trailer = self.seal.open(TRAILER, 0, self.seal.aad, data[-TRAILER_BYTES:])
        offset, length = (int.from_bytes(trailer[at : at + 4], "little") for at in (0, 4))
        if offset < HEADER_BYTES or offset + length != len(data) - TRAILER_BYTES:
            raise PackError("a trailer that does not describe its pack")
        footer = self.seal.open(FOOTER, 0, self.seal.aad, data[offset : offset + length])
        version, self.class_, self.records = cbor.decode(footer)
        if version != 1:
            raise PackError(f"a footer of version {version}")
        if not self.records or HEADER_BYTES + sum(record[2] for record in self.records) > offset:
            raise PackError("a footer that does not describe its pack")

    def chunks(self, content, kind):
        """Plaintexts of the chunks of a kind, in order, with their positions."""
        offset = HEADER_BYTES
        for position, record in enumerate(self.records):
            if record[1] == kind:
                sealed = self.data[offset : offset + record[2]]
                yield position, self.seal.open_chunk(content, position, record, sealed)
            offset += record[2]


class Store:
    """Chunks by id: an index over the packs of one home."""

    def __init__(self, home, vault, epoch_keys):
        self.home, self.vault, self.epoch_keys = home, vault, epoch_keys
        self.content = keys.Content(epoch_keys[1][0])
        self._places, self._seals, self._plain = {}, {}, {}

    def add_segment(self, plain):
        """Takes an index segment in."""
        version, packs = cbor.decode(plain)
        if version != 1:
            raise PackError(f"an index segment of version {version}")
        for shard, _class, epoch, salt, records in packs:
            self._add(tuple(shard), epoch, salt, records)

    def add_pack(self, shard, pack):
        """Takes the chunks of a pack in that is at hand."""
        self._add(shard, pack.epoch, pack.salt, pack.records)

    def _add(self, shard, epoch, salt, records):
        offset = HEADER_BYTES
        for position, record in enumerate(records):
            self._places.setdefault(record[0], []).append((shard, epoch, salt, position, offset, record))
            offset += record[2]

    def commit_pack(self, root, length):
        """The pack that a head names, opened without an index."""
        return Pack(self.home.shard(root, length), self.vault, self.epoch_keys)

    def at(self, location):
        """The chunk at a location."""
        shard, epoch, salt, position, offset, record = location
        data = self.home.shard(*shard)
        sealed = data[offset : offset + record[2]]
        if salt in self._seals:
            return self._seals[salt].open_chunk(self.content, position, record, sealed)
        problem = PackError(f"a pack of epoch {epoch}, whose key is not in the log")
        for key in self.epoch_keys.get(epoch, ()):
            seal = Seal(self.vault, epoch, key, salt)
            try:
                plain = seal.open_chunk(self.content, position, record, sealed)
            except PackError as error:  # another key may have this number
                problem = error
                continue
            self._seals[salt] = seal
            return plain
        raise problem

    def chunk(self, chunk_id, kind):
        """The plaintext of a chunk, from whichever of its packs is whole. The last few are kept: files of a bundle
        follow each other."""
        if chunk_id in self._plain:
            return self._plain[chunk_id]
        problem = PackError(f"chunk {chunk_id.hex()[:8]} is in no pack that the index knows")
        for place in self._places.get(chunk_id, ()):
            try:
                plain = self.at(place)
            except Exception as error:  # another copy may do
                problem = error
                continue
            if place[5][1] != kind:
                raise PackError("a chunk of another kind")
            if len(self._plain) >= 8:
                self._plain.pop(next(iter(self._plain)))
            self._plain[chunk_id] = plain
            return plain
        raise problem
