"""From the public keys of a phrase to the records of its holders. Source: specs/locating.md."""

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import cbor
import keys

RECORD = b"larder locator record v1\0"
RECORD_BYTES = 1176


def locator(signing, access, hpke):
    return keys.derive("larder 2026 locator v1", signing + access + hpke)


def slot(of):
    return keys.derive("larder 2026 locator slot v1", of)


def seek_beacon(of, nonce, clock):
    key = keys.derive("larder 2026 seek beacon key v1", of)
    return nonce + keys.keyed(key, nonce + (clock // 86_400).to_bytes(8, "little"))[:16]


def publisher(device_seed, of_slot):
    return keys.ed25519_public(keys.derive("larder 2026 locator publisher v1", device_seed + of_slot))


def read(of, record):
    """Publisher, time and whereabouts of a record; raises where it is none."""
    where = slot(of)
    if len(record) != RECORD_BYTES or not keys.verify(RECORD, record[:32], where + record[:1112], record[1112:]):
        raise ValueError("not a record of this slot")
    salt, sealed = record[40:72], record[72:1112]
    cipher = ChaCha20Poly1305(keys.derive("larder 2026 locator record v1", of + salt))
    plain = cipher.decrypt(bytes(12), sealed, where + record[:40])
    found = cbor.decode(plain[2 : 2 + int.from_bytes(plain[:2], "little")])
    return record[:32], int.from_bytes(record[32:40], "little"), found
