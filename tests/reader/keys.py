"""What follows from the phrase and from epoch keys. Source: specs/keys.md."""

import hmac

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import hpke

KINDS = ("data", "directory", "extents", "snapshot", "index", "manifest")
DATA, DIRECTORY, EXTENTS, SNAPSHOT, INDEX, MANIFEST = range(6)

LOG_ENTRY, LOG_CONSENT, LOG_ACCESS = b"larder log entry v1\0", b"larder log consent v1\0", b"larder log access v1\0"
HEAD = b"larder head v1\0"


def derive(context, material):
    return blake3(material, derive_key_context=context).digest()


def keyed(key, data):
    return blake3(data, key=key).digest()


def ed25519_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


# The y coordinates of the eight points of low order on Ed25519's curve.
_FIELD = 2**255 - 19
_LOW_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_LOW = {0, 1, _FIELD - 1, _LOW_8, _FIELD - _LOW_8}


def _is_sound_point(raw):
    """Whether 32 bytes are the canonical form of a point that is not of low order (if they are one at all)."""
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    return y < _FIELD and y not in _LOW


def verify(domain, key, body, signature):
    """Whether `key` signed `body` in `domain`. Strict: OpenSSL refuses unreduced scalars and compares R by its bytes;
    weak points are refused here."""
    if len(signature) != 64 or not _is_sound_point(key) or not _is_sound_point(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, domain + body)
    except (InvalidSignature, ValueError):
        return False
    return True


class Recovery:
    """The keys of a phrase."""

    def __init__(self, entropy):
        self.signing = ed25519_public(derive("larder 2026 recovery signing v1", entropy))
        self.access = ed25519_public(derive("larder 2026 recovery access v1", entropy))
        self.hpke_secret = derive("larder 2026 recovery hpke v1", entropy)
        self.hpke = hpke.public_bytes(self.hpke_secret)


def open_wrap(wrap, secret, epoch, commitment, salt):
    """The epoch key in a wrap, or None when it is not for this secret or not the key that the log commits to."""
    to, encapsulated, sealed = wrap[0], wrap[1], wrap[2]
    aad = epoch.to_bytes(4, "little") + commitment + salt + to
    try:
        key = hpke.open_single(secret, encapsulated, b"larder epoch wrap v1\0", aad, sealed)
    except (InvalidTag, ValueError):
        return None
    return key if hmac.compare_digest(derive("larder 2026 epoch commitment v1", key), commitment) else None


def open_prior(key, prior, salt):
    """The key of an earlier epoch that a later one seals; None when it is not the one that it says."""
    number, commitment, sealed = prior[0], prior[1], prior[2]
    cipher = ChaCha20Poly1305(derive("larder 2026 epoch prior v1", key + commitment))
    try:
        earlier = cipher.decrypt(bytes(12), sealed, number.to_bytes(4, "little") + salt)
    except InvalidTag:
        return None
    return earlier if derive("larder 2026 epoch commitment v1", earlier) == commitment else None


class Content:
    """The key that names chunks; it comes from the key of epoch 1 and never changes."""

    def __init__(self, first_epoch_key):
        self.key = derive("larder 2026 content key v1", first_epoch_key)
        self._kinds = [derive(f"larder 2026 chunk id {kind} v1", self.key) for kind in KINDS]
        self._slice = derive("larder 2026 slice digest v1", self.key)

    def chunk_id(self, kind, plain):
        return keyed(self._kinds[kind], plain)

    def slice_digest(self, data):
        return keyed(self._slice, data)[:16]
