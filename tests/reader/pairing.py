"""The proofs of an invitation, and the two words that both screens show. Source: specs/pairing.md."""

import cbor
import keys
from phrase import WORDS

DEVICE, CIRCLE = 0, 1
MEMBER = 1


def transcript(by_inviter, kind, inviter, joiner, joiner_vault, inviter_vault, role=None):
    fields = {0: 2, 1: by_inviter, 2: kind, 3: inviter, 4: joiner, 5: joiner_vault, 6: inviter_vault, 7: role}
    return cbor.encode({key: value for key, value in fields.items() if value is not None})


def proof(secret, said):
    return keys.keyed(keys.derive("larder 2026 invite proof v1", secret), said)


def commitment(number):
    return keys.derive("larder 2026 pairing commitment v1", number)


def words(joiner_number, inviter_number, said_by_inviter):
    key = keys.derive("larder 2026 pairing words v1", joiner_number + inviter_number)
    bits = int.from_bytes(keys.keyed(key, said_by_inviter)[:3], "big") >> 2
    return f"{WORDS[bits >> 11]} {WORDS[bits & 0x7ff]}"
