"""HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. Single-shot open."""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEM, KDF, AEAD = 0x0020, 0x0001, 0x0003
KEM_SUITE = b"KEM" + KEM.to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (KEM, KDF, AEAD))


def _extract(salt, key):
    return hmac.new(salt or bytes(32), key, hashlib.sha256).digest()


def _expand(key, info, length):
    output, block = b"", b""
    for counter in range(1, 256):
        if len(output) >= length:
            break
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        output += block
    return output[:length]


def _labeled_extract(suite, salt, label, key):
    return _extract(salt, b"HPKE-v1" + suite + label + key)


def _labeled_expand(suite, key, label, info, length):
    return _expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def public_bytes(secret):
    """The X25519 public key of a 32-byte secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def open_single(secret, encapped, info, aad, sealed):
    """Opens what was sealed to the holder of `secret`. Raises `cryptography.exceptions.InvalidTag`."""
    shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(encapped))
    context = encapped + public_bytes(secret)
    prk = _labeled_extract(KEM_SUITE, b"", b"eae_prk", shared)
    shared = _labeled_expand(KEM_SUITE, prk, b"shared_secret", context, 32)
    id_hash = _labeled_extract(SUITE, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(SUITE, b"", b"info_hash", info)
    schedule = b"\x00" + id_hash + info_hash
    prk = _labeled_extract(SUITE, shared, b"secret", b"")
    key = _labeled_expand(SUITE, prk, b"key", schedule, 32)
    nonce = _labeled_expand(SUITE, prk, b"base_nonce", schedule, 12)
    return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)
