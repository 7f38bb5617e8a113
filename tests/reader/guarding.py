"""Guardians: from shares to the phrase. Source: specs/guarding.md."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import cbor
import hpke
import keys

GUARDIANS, REQUEST, STOP = b"larder guardians v1\0", b"larder release request v1\0", b"larder release stop v1\0"


def _times(a, b):
    """The product in GF(2^8), by the school's way."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


_INVERSE = {a: b for a in range(1, 256) for b in range(1, 256) if _times(a, b) == 1}


def join(threshold, shares):
    """The secret of which these are shares, [(place, 32 bytes)]."""
    shares = shares[:threshold]
    places = [place for place, _ in shares]
    if threshold < 1 or len(shares) < threshold or 0 in places or len(set(places)) < threshold:
        raise ValueError("not enough shares at places of their own")
    secret = bytearray(32)
    for place, share in shares:
        weight = 1
        for other in places:
            if other != place:
                weight = _times(weight, _times(other, _INVERSE[other ^ place]))
        for at, byte in enumerate(share):
            secret[at] ^= _times(weight, byte)
    return bytes(secret)


def _signed(domain, key, record):
    body, signature = cbor.decode(record)
    if not keys.verify(domain, key, body, signature):
        raise ValueError("the signature does not hold")
    return cbor.decode(body)


def receiving(epoch_key):
    return keys.derive("larder 2026 guardian receiving v1", epoch_key)


class Set:
    """A set of guardians, checked against the vault and the recovery signing key."""

    def __init__(self, record, vault, signing):
        body = _signed(GUARDIANS, signing, record)
        if body[0] != 1 or body[1] != vault:
            raise ValueError("not a set of this vault")
        self.vault, self.number, self.appointed = vault, body[2], body.get(4)
        if self.appointed:
            self.id, self.threshold, self.delay, self.release = (self.appointed[key] for key in range(4))

    def _bound(self, place):
        return self.vault + self.id + bytes([self.threshold, place])

    def has(self, place, share):
        commitment = keys.derive("larder 2026 guardian share commitment v1", self._bound(place) + share)
        return any(one[0] == place and one[1] == commitment for one in self.appointed[6])

    def share(self, secret):
        """Place and bytes of the share that this receiving secret opens."""
        for one in self.appointed[6]:
            try:
                share = hpke.open_single(
                    secret, one[2][0], b"larder guardian share v1\0", self._bound(one[0]), one[2][1]
                )
            except InvalidTag:
                continue
            if self.has(one[0], share):
                return one[0], share
        return None

    def names(self, epoch_key_1):
        content = keys.derive("larder 2026 content key v1", epoch_key_1)
        key = keys.derive("larder 2026 guardian names v1", content)
        cipher = ChaCha20Poly1305(keys.derive("larder 2026 guardian names of set v1", key + self.id))
        plain = cipher.decrypt(bytes(12), self.appointed[5], self.id)
        # The zeros behind are no part of the record.
        end = next(end for end in range(len(plain), 0, -1) if not any(plain[end:]) and _decodes(plain[:end]))
        return [(one[0], one[1], one[2][0], one[2][1]) for one in cbor.decode(plain[:end])[0]]

    def secret(self, shares):
        secret = join(self.threshold, [(place, share) for place, share in shares if self.has(place, share)])
        if keys.ed25519_public(self.release_seed(secret)) != self.release:
            raise ValueError("not the secret of this set")
        return secret

    def release_seed(self, secret):
        return keys.derive("larder 2026 guardian release v1", secret + self.id)

    def entropy(self, secret, sealed):
        """The phrase that holders keep back."""
        if keys.derive("larder 2026 guardian sealed phrase v1", sealed) != self.appointed[4]:
            raise ValueError("sealed for another set")
        cipher = ChaCha20Poly1305(keys.derive("larder 2026 guardian phrase v1", secret + self.id))
        return cipher.decrypt(bytes(12), sealed, self.vault)

    def request(self, record):
        body = _signed(REQUEST, self.release, record)
        if (body[1], body[2]) != (self.vault, self.id):
            raise ValueError("a request of another set")
        return body

    def stop(self, record, request, device):
        body = _signed(STOP, device, record)
        if (body[1], body[2], body[3]) != (self.vault, self.id, request[3]):
            raise ValueError("a stop of another request")
        return body


def _decodes(data):
    try:
        cbor.decode(data)
    except (ValueError, IndexError):
        return False
    return True


def help_proof(invite_secret, guardian, asks):
    return keys.keyed(keys.derive("larder 2026 help proof v1", invite_secret), guardian + asks)
