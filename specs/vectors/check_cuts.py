#!/usr/bin/env python3
"""Checks what a writer decides against specs/chunk.md, specs/pack.md and specs/tree.md.

Where files are cut, what is bundled, where nodes are split, how long packs are: written from the pages alone, slow on
purpose. What a reader needs is checked by tests/reader/. Needs the Python package blake3 and nothing of Larder.
"""

import json
import struct
from pathlib import Path

from blake3 import blake3

HERE = Path(__file__).parent
MASK = (1 << 64) - 1


def derive(context, material):
    return blake3(material, derive_key_context=context).digest()


def keyed(key, message):
    return blake3(message, key=key).digest()


def content_key(page):
    return derive("larder 2026 content key v1", bytes.fromhex(page["epoch_key_1"]))


def next_cut(gear, rest):
    """Length of the next chunk, by specs/chunk.md, Cutting large files."""
    if len(rest) <= 262_144:
        return len(rest)
    value = 0
    for byte in rest[262_144 - 64 : 262_144]:
        value = ((value << 1) + gear[byte]) & MASK
    for length in range(262_145, min(len(rest), 4_194_304) + 1):
        value = ((value << 1) + gear[rest[length - 1]]) & MASK
        if value < (1 << 42 if length <= 786_432 else 1 << 46):
            return length
    return min(len(rest), 4_194_304)


def lengths(gear, data):
    found, start = [], 0
    while start < len(data):
        found.append(next_cut(gear, data[start : start + 4_194_304]))
        start += found[-1]
    return found


def check_chunks():
    page = json.loads((HERE / "chunk.json").read_text())
    content = content_key(page)
    stream = blake3(b"", key=derive("larder 2026 gear table v1", content)).digest(length=2048)
    gear = struct.unpack("<256Q", stream)
    assert [f"{value:016x}" for value in gear] == page["gear"]
    noise = blake3(b"", key=bytes([7] * 32)).digest(length=12_000_000)
    inputs = [noise, noise[:3_000_000] + b"x" + noise[3_000_000:], bytes(5_000_000)]
    for data, expected in zip(inputs, page["cuts"], strict=True):
        assert len(data) == expected["bytes"]
        assert lengths(gear, data) == expected["chunk_lengths"], expected["input"]
    key, bundle = derive("larder 2026 bundle cut v1", content), 0
    for file in page["bundles"]:
        parent, name, size = file["parent"].encode(), file["name"].encode(), file["bytes"]
        hit = keyed(key, struct.pack("<I", len(parent)) + parent + name)[0] % 4 == 0
        cut = bundle > 0 and (bundle + size > 131_072 or hit)
        assert cut == file["cut_before"], file
        bundle = size if cut else bundle + size


def check_packs():
    page = json.loads((HERE / "pack.json").read_text())
    for length, padded in page["padded_lengths"]:
        unit = max(16_384, 1 << max(0, length.bit_length() - 1 - 6))
        assert -(-length // unit) * unit == padded, length


def encode(value):
    """Canonical CBOR of numbers from 0, byte strings and arrays."""
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(4, len(value)) + b"".join(map(encode, value))


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | code]) + value.to_bytes(size, "big")
    raise ValueError(value)


class Splitter:
    """The nodes of one sequence, by specs/tree.md, Splitting."""

    def __init__(self, content, kind):
        self.names = kind == "directory"
        self.id_key = derive(f"larder 2026 chunk id {kind} v1", content)
        self.cut_key = derive("larder 2026 node cut v1", content)
        self.levels, self.nodes = [], []

    def push(self, level, item, mark, label):
        if level == len(self.levels):
            self.levels.append(([], []))
        items, _ = self.levels[level]
        draw = int.from_bytes(keyed(self.cut_key, bytes([level]) + mark)[:4], "little")
        long = sum(map(len, items)) + len(item) > 524_288
        if items and level < 8 and (long or draw < 65_536 * len(item)):
            child = self.close(level)
            self.push_plain(level, item, label)
            self.push(level + 1, *child)
        else:
            self.push_plain(level, item, label)

    def push_plain(self, level, item, label):
        self.levels[level][0].append(item)
        self.levels[level][1].append(label)

    def close(self, level):
        items, labels = self.levels[level]
        plain = bytes([0x83, 1, level]) + head(4, len(items)) + b"".join(items)
        chunk = keyed(self.id_key, plain)
        self.nodes.append({"bytes": len(plain), "id": chunk.hex()})
        self.levels[level] = ([], [])
        label = labels[0] if self.names else sum(labels)
        return encode([label, chunk]), label if self.names else chunk, label

    def finish(self):
        level = 0
        while True:
            child = self.close(level)
            level += 1
            if level == len(self.levels):
                return self.nodes
            self.push(level, *child)


def check_trees():
    page = json.loads((HERE / "tree.json").read_text())
    fifo = next(entry["entry"] for entry in page["entries"] if entry["what"] == "a fifo")
    # The entry is a map {0: name, 1: kind, 2: attributes}; its name is one byte long.
    rest = bytes.fromhex(fifo)[4:]
    directory = Splitter(content_key(page), "directory")
    for number in range(10_000):
        name = b"file %05d" % number
        directory.push(0, b"\xa3\x00" + encode(name) + rest, name, name)
    assert directory.finish() == page["large_directory"]["nodes"]
    file = Splitter(content_key(page), "extents")
    for number in range(5_000):
        chunk = blake3(struct.pack("<I", number)).digest()
        item = encode([0, [chunk, 1_000_000 + number]])
        file.push(0, item, item, 1_000_000 + number)
    assert file.finish() == page["large_file"]["nodes"]


if __name__ == "__main__":
    check_chunks()
    check_packs()
    check_trees()
    print("cuts, bundles, paddings and nodes are those of the vectors")
