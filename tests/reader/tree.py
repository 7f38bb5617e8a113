"""Manifests, snapshots and trees. Sources: specs/manifest.md, specs/snapshot.md, specs/tree.md.

Everything is hostile until checked, whoever sealed it: no name leaves its directory, nothing is deeper than it may be.
"""

import cbor
from keys import DATA, DIRECTORY, EXTENTS, INDEX, MANIFEST, SNAPSHOT

DEPTH_MAX = 4096


class TreeError(Exception):
    """A record that breaks its page's rules."""


class Entry:
    """One entry of a directory."""

    def __init__(self, fields, is_root=False):
        self.name = fields[0]
        plain = self.name not in (b"", b".", b"..") and len(self.name) <= 1024
        plain = plain and b"/" not in self.name and b"\0" not in self.name
        if not plain and not (is_root and self.name == b""):
            raise TreeError("a name that is no plain file name")
        self.kind, parts = fields[1]
        self.bytes, self.content, self.node, self.target, self.device = 0, None, None, None, None
        if self.kind == 0:
            self.bytes, self.content = parts
        elif self.kind == 1:
            (self.node,) = parts
        elif self.kind == 2:
            (self.target,) = parts
        elif self.kind in (5, 6):
            self.device = tuple(parts[0])
        elif self.kind not in (3, 4):
            raise TreeError(f"an entry of kind {self.kind}")
        attributes = fields[2]
        self.mode, self.uid, self.gid = attributes[0], attributes[1], attributes[2]
        self.seconds, self.nanoseconds = attributes[3]
        self.identity, self.links = attributes.get(4), attributes[5]
        self.xattrs = attributes.get(6, [])
        if self.mode & ~0o7777 or not 0 <= self.nanoseconds < 10**9 or self.links < 1:
            raise TreeError("attributes out of range")


def _node(plain, level):
    """Level and items of a node; the level must be `level` unless that is None."""
    version, found, items = cbor.decode(plain)
    if version != 1 or found > 8:
        raise TreeError(f"a node of version {version}, level {found}")
    if level is not None and (found != level or not items):
        raise TreeError("a node that does not fit below its parent")
    return found, items


def entries(store, node, level=None, first=None):
    """Entries of a directory in order, whatever its nodes are."""
    level, items = _node(store.chunk(node, DIRECTORY), level)
    last = None
    for item in items:
        name = item[0]
        if first is not None and name != first or last is not None and name <= last:
            raise TreeError("names that are not in order")
        first, last = None, name
        if level == 0:
            yield Entry(item)
        else:
            yield from entries(store, item[1], level - 1, name)


def _listed(store, node, level=None):
    level, items = _node(store.chunk(node, EXTENTS), level)
    for item in items:
        if level == 0:
            yield item
        else:
            yield from _listed(store, item[1], level - 1)


def pieces(store, entry):
    """Content of a file: `(bytes, length)` or `(None, length of a hole)`; in sum exactly the file's length."""
    number, parts = entry.content
    extents = parts[0] if number == 0 else _listed(store, parts[0])
    total = 0
    for kind, fields in extents:
        if kind == 0:
            chunk, length = fields
            piece = store.chunk(chunk, DATA)
        elif kind == 1:
            chunk, offset, length, digest = fields
            piece = store.chunk(chunk, DATA)[offset : offset + length]
            if store.content.slice_digest(piece) != digest:
                raise TreeError("a slice with another digest")
        elif kind == 2:
            (length,) = fields
            piece = None
        else:
            raise TreeError(f"an extent of kind {kind}")
        if length < 1 or piece is not None and len(piece) != length:
            raise TreeError("an extent of another length than its chunk")
        total += length
        yield piece, length
    if total != entry.bytes:
        raise TreeError("extents that do not add up to the file")


class Summary:
    """A snapshot as a manifest lists it."""

    def __init__(self, fields):
        self.id, self.device, self.root_path, self.started = (fields[key] for key in range(4))
        self.files, self.bytes, self.complete = fields[4], fields[5], fields[6]


def read_manifest(store, head):
    """The snapshots of one device, oldest first, after taking its whole index in."""
    commit = store.commit_pack(head.commit_root, head.commit_bytes)
    store.add_pack((head.commit_root, head.commit_bytes), commit)
    position, plain = next(commit.chunks(store.content, MANIFEST))
    fields = cbor.decode(plain)
    if position != 0 or fields[0] != 1:
        raise TreeError("no manifest of version 1 in the first place of the commit pack")
    if (fields[1], fields[2]) != (head.device, head.seq):
        raise TreeError("a manifest of another head")
    for _, segment in commit.chunks(store.content, INDEX):
        store.add_segment(segment)
    for location in fields[4]:
        location[0] = tuple(location[0])
        if location[5][1] != INDEX:
            raise TreeError("a segment that is none")
        store.add_segment(store.at(location))
    forgotten = set(fields[6])
    return [summary for summary in map(Summary, fields[3]) if summary.id not in forgotten]


def read_snapshot(store, summary):
    """The root entry of a snapshot."""
    fields = cbor.decode(store.chunk(summary.id, SNAPSHOT))
    if fields[0] != 1 or fields[1] != summary.device:
        raise TreeError("not the snapshot that the manifest names")
    return Entry(fields[3], is_root=True)
