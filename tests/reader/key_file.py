"""A device's key file, in clear or sealed with a passphrase. Source: specs/keys.md, "Key file"."""

import re
import unicodedata

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

import keys

CLEAR = re.compile(r"larder device key 1\nsign ([0-9a-f]{64})\nopen ([0-9a-f]{64})\n")
SEALED = re.compile(
    r"(larder device key 2\nargon2id m=([1-9]\d*) t=([1-9]\d*) p=([1-9]\d*)\nsalt ([0-9a-f]{32})\n)sealed ([0-9a-f]{160})\n"
)


class KeyFileError(Exception):
    """Damaged, or of a newer version."""


def passphrase_bytes(typed):
    """OpaqueString of RFC 8265: any space is the ASCII one, then NFC."""
    if any(unicodedata.category(character) == "Cc" for character in typed):
        raise KeyFileError("control characters")
    plain = "".join(" " if unicodedata.category(character) == "Zs" else character for character in typed)
    return unicodedata.normalize("NFC", plain).encode()


def secrets(text, typed=None):
    """Signing seed and receiving secret."""
    body, check = text[:-23], text[-23:]
    if check != f"check {blake3(body.encode()).hexdigest()[:16]}\n":
        raise KeyFileError("damaged")
    if found := CLEAR.fullmatch(body):
        return tuple(bytes.fromhex(secret) for secret in found.groups())
    found = SEALED.fullmatch(body)
    if not found:
        raise KeyFileError("no version that is known")
    terms, memory, passes, lanes, salt, sealed = found.groups()
    stretched = Argon2id(
        salt=bytes.fromhex(salt), length=32, iterations=int(passes), lanes=int(lanes), memory_cost=int(memory)
    ).derive(passphrase_bytes(typed))
    cipher = ChaCha20Poly1305(keys.derive("larder 2026 device key seal v1", stretched))
    plain = cipher.decrypt(bytes(12), bytes.fromhex(sealed), terms.encode())
    return plain[:32], plain[32:]
