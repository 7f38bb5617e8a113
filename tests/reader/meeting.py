"""What follows from a channel's number, and from CPace's key. Source: specs/meeting.md."""

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import keys


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
