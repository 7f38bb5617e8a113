"""The audit trail of a node. Source: specs/trail.md."""

import cbor
import keys

DOMAIN = b"larder trail v1\0"


def check(entries):
    """The bodies of a trail, or an error at the first entry that does not belong there."""
    bodies, before = [], None
    for entry in entries:
        body, signature = cbor.decode(entry)
        said = cbor.decode(body)
        if not keys.verify(DOMAIN, said[1], body, signature):
            raise ValueError("not signed by its device")
        if bodies and (said[1], said[2], said[3]) != (bodies[-1][1], bodies[-1][2] + 1, before):
            raise ValueError("it does not follow")
        bodies.append(said)
        before = keys.derive("larder 2026 trail entry v1", body)
    return bodies, before
