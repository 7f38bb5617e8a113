"""Erasure coding, from specs/coding.md alone: shards of a pack, and a pack from any k of them."""

import cbor

GROUP = 16384
SHARD_BYTES_MAX = 64 << 20
DATA_SHARDS_MAX, SHARDS_MAX, RECORD_BYTES_MAX = 32, 64, 2191

# Powers of x modulo x^8 + x^4 + x^3 + x^2 + 1, and how often x is in each.
POWERS, LOGARITHMS = [], {}
_power = 1
for _exponent in range(255):
    POWERS.append(_power)
    LOGARITHMS[_power] = _exponent
    _power <<= 1
    if _power & 0x100:
        _power ^= 0x11D


class CodingError(ValueError):
    """Not a coded pack, or shards that do not give one back."""


def multiply(a, b):
    return POWERS[(LOGARITHMS[a] + LOGARITHMS[b]) % 255] if a and b else 0


def divide(a, b):
    return POWERS[(LOGARITHMS[a] - LOGARITHMS[b]) % 255] if a else 0


def factors(k, i):
    """What data shard j is multiplied by in shard i, for each j."""
    return [int(i == j) if i < k else divide(i, i ^ j) for j in range(k)]


def shard_bytes(k, pack_bytes):
    groups = -(-pack_bytes // (k * GROUP))
    return min(groups * GROUP, pack_bytes)


def data_shards(k, pack):
    length = shard_bytes(k, len(pack))
    padded = pack + bytes(k * length - len(pack))
    return [padded[j * length : (j + 1) * length] for j in range(k)]


def combine(row, sources):
    """The sum of all sources, each multiplied by its factor."""
    total = 0
    for factor, source in zip(row, sources):
        product = source.translate(bytes(multiply(factor, byte) for byte in range(256)))
        total ^= int.from_bytes(product, "little")
    return total.to_bytes(len(sources[0]), "little")


def shard(k, i, pack):
    return combine(factors(k, i), data_shards(k, pack))


def decode(k, pack_bytes, shards):
    """The pack from k shards by number."""
    if len(shards) != k:
        raise CodingError(f"{len(shards)} shards for a pack of {k}")
    rows = [factors(k, i) for i in shards]
    sources = list(shards.values())
    # Elimination on the numbers, and the same steps on the bytes.
    for column in range(k):
        pivot = next(at for at in range(column, k) if rows[at][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        sources[column], sources[pivot] = sources[pivot], sources[column]
        scale = divide(1, rows[column][column])
        rows[column] = [multiply(scale, element) for element in rows[column]]
        sources[column] = combine([scale], [sources[column]])
        for at in range(k):
            if at != column and rows[at][column]:
                factor = rows[at][column]
                rows[at] = [one ^ multiply(factor, other) for one, other in zip(rows[at], rows[column])]
                sources[at] = combine([1, factor], [sources[at], sources[column]])
    return b"".join(sources)[:pack_bytes]


def record(data):
    """k, length of the pack and roots of the shards, from the record of a coded pack."""
    if len(data) > RECORD_BYTES_MAX:
        raise CodingError("a record longer than any")
    fields = cbor.decode(data)
    if not isinstance(fields, dict) or fields.get(0) != 1 or list(fields) != [0, 1, 2, 3]:
        raise CodingError("not a record of version 1")
    k, pack_bytes, roots = fields[1], fields[2], fields[3]
    if not 1 <= k <= min(len(roots), DATA_SHARDS_MAX) or len(roots) > SHARDS_MAX:
        raise CodingError("an impossible code")
    if not 1 <= pack_bytes <= SHARD_BYTES_MAX:
        raise CodingError("an impossible length")
    if any(len(root) != 32 for root in roots) or k == 1 and len(set(roots)) != 1:
        raise CodingError("impossible roots")
    return k, pack_bytes, roots
