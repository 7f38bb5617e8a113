"""Who holds for a vault, and what it needs. Source: specs/tending.md."""

import cbor
import keys
from head import Head, claims_root

INTRODUCTION = b"larder introduction v1\0"


def site_tag(epoch_key_1, name):
    """What stands for a site of this name."""
    content = keys.derive("larder 2026 content key v1", epoch_key_1)
    return keys.keyed(keys.derive("larder 2026 site tag v1", content), name.encode())[:8]


def introduction(raw, log):
    """A device's word: (device, number, copies, [(node, site tag, addresses)])."""
    body, signature = cbor.decode(raw)
    fields = cbor.decode(body)
    if fields[0] != 1 or fields[1] != log.vault or fields[3] < 1 or not 1 <= fields[4] <= 32:
        raise ValueError("not an introduction of this vault")
    nodes = [holder[0] for holder in fields[5]]
    if len(nodes) > 32 or nodes != sorted(set(nodes)):
        raise ValueError("holders out of order, or too many")
    if fields[2] not in log.devices or not keys.verify(INTRODUCTION, fields[2], body, signature):
        raise ValueError("not by a device of this vault")
    return fields[2], fields[3], fields[4], [(holder[0], holder[1], holder[2]) for holder in fields[5]]


def claimed(raw, log):
    """The head and the roots of a kept list."""
    signed, joined = cbor.decode(raw)
    head = Head(signed, log)
    roots = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    if roots != sorted(set(roots)) or (claims_root(roots), len(roots)) != (head.claims_root, head.claims_count):
        raise ValueError("not the list that the head signs for")
    return head, roots
