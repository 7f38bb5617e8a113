"""The part of CBOR (RFC 8949) that Larder's records use, in its one canonical form (4.2.1).

Unsigned and negative integers, byte and text strings, arrays, maps, false, true, null. Everything else, and every
second way to write the same value, is refused.
"""


class CborError(ValueError):
    """Not canonical CBOR of the kinds that Larder uses."""


def decode(data):
    """The one value that `data` holds; no byte may be left over."""
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise CborError(f"{len(data) - end} bytes after the value")
    return value


def decode_first(data):
    """The value at the beginning of `data`, and what comes after it."""
    value, end = _item(data, 0, 0)
    return value, data[end:]


def _argument(data, at):
    """Major type, argument, and where the content begins."""
    if at >= len(data):
        raise CborError("the value is cut off")
    major, low = data[at] >> 5, data[at] & 31
    if low < 24:
        return major, low, at + 1
    if low > 27:
        raise CborError("indefinite lengths are not canonical")
    width = 1 << (low - 24)
    end = at + 1 + width
    if end > len(data):
        raise CborError("the value is cut off")
    number = int.from_bytes(data[at + 1 : end], "big")
    if major != 7 and number < (24 if width == 1 else 1 << (4 * width)):
        raise CborError("a number is longer than it needs to be")
    return major, number, end


def _item(data, at, depth):
    if depth > 64:
        raise CborError("nested too deeply")
    major, number, at = _argument(data, at)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if at + number > len(data):
            raise CborError("a string is cut off")
        raw = data[at : at + number]
        return (bytes(raw) if major == 2 else raw.decode("utf-8")), at + number
    if major == 4:
        items = []
        for _ in range(number):
            value, at = _item(data, at, depth + 1)
            items.append(value)
        return items, at
    if major == 5:
        pairs, last = {}, None
        for _ in range(number):
            start = at
            key, at = _item(data, at, depth + 1)
            encoded = data[start:at]
            if last is not None and encoded <= last:
                raise CborError("keys of a map are not in ascending order")
            last = encoded
            pairs[key], at = _item(data, at, depth + 1)
        return pairs, at
    if major == 7 and number in (20, 21, 22):
        return {20: False, 21: True, 22: None}[number], at
    raise CborError(f"major type {major} is not used")


def head(major, number):
    """The first bytes of an item."""
    if number < 24:
        return bytes([major << 5 | number])
    for low, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * width):
            return bytes([major << 5 | low]) + number.to_bytes(width, "big")
    raise CborError("a number beyond 64 bits")


def encode(value):
    """The canonical bytes of a value; the reader needs it to check what is signed or hashed as a part."""
    if value is None or value is True or value is False:
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return head(3, len(raw)) + raw
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    raise CborError(f"cannot write a {type(value).__name__}")
