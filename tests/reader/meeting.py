"""What follows from a channel's number, CPace's key, and what follows from that. Source: specs/meeting.md."""

import hashlib

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import keys
import ristretto


def channel(number):
    """Seed and public key of a channel."""
    seed = keys.derive("larder 2026 meeting channel v1", number.to_bytes(2, "little"))
    return seed, keys.ed25519_public(seed)


def guest_proof(isk):
    return keys.keyed(keys.derive("larder 2026 meeting guest proof v1", isk), b"")


def seal(isk, ticket):
    """The sealed ticket and the host's proof."""
    cipher = ChaCha20Poly1305(keys.derive("larder 2026 meeting ticket v1", isk))
    sealed = cipher.encrypt(bytes(12), ticket.encode(), None)
    return sealed, keys.keyed(keys.derive("larder 2026 meeting host proof v1", isk), sealed)


def leb128(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + leb128(rest) if rest else bytes([low])


def lv_cat(*parts):
    return b"".join(leb128(len(part)) + part for part in parts)


def associated(side, version):
    """What a side says of itself in CPace."""
    return b"larder " + side + version.to_bytes(2, "little")


def context(channel_number):
    return b"larder 2026 meeting v1" + channel_number.to_bytes(2, "little")


def generator(password, ci):
    """CPace's generator: a point that the words choose."""
    zeros = bytes(max(0, 108 - len(password)))
    text = lv_cat(b"CPaceRistretto255", password, zeros, ci, b"")
    return ristretto.from_uniform(hashlib.sha512(text).digest())


def agree(scalar, other, points, said):
    """CPace's key: one side's scalar, the point of the other, the guest's and the host's point and data."""
    shared = ristretto.encode(ristretto.multiply(scalar, ristretto.decode(other)))
    (guest, host), (said_by_guest, said_by_host) = points, said
    transcript = lv_cat(guest, said_by_guest) + lv_cat(host, said_by_host)
    return hashlib.sha512(lv_cat(b"CPaceRistretto255_ISK", b"", shared) + transcript).digest()
