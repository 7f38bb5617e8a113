"""How a device stands to a vault that its own leaves. Source: specs/leaving.md."""

import cbor
import keys

LEAVING = b"larder leaving v1\0"


def word(raw, log):
    """A device's word: (device, other vault, number, wish, waives); wish is None or (number, leaves, stayed)."""
    body, signature = cbor.decode(raw)
    fields = cbor.decode(body)
    if len(raw) > 512 or fields[0] != 1 or fields[1] != log.vault or fields[3] == log.vault or fields[4] < 1:
        raise ValueError("not a word of this vault")
    if fields[2] not in log.devices or not keys.verify(LEAVING, fields[2], body, signature):
        raise ValueError("not by a device of this vault")
    wish = fields.get(5)
    if wish is not None:
        wish = (wish[0], wish[1], wish[2])
        if wish[0] <= wish[2]:
            raise ValueError("a wish with a number below the one before")
    return fields[2], fields[3], fields[4], wish, fields.get(6)


def tag(known):
    """What stands for words in a greeting: of (vault, other, device, number)."""
    joined = b"".join(vault + other + device + number.to_bytes(8, "little") for vault, other, device, number in sorted(known))
    return keys.derive("larder 2026 leaving tag v1", joined)[:8]
