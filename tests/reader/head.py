"""The newest head of each device: the one pointer to its manifest. Source: specs/head.md."""

import cbor
import keys


class HeadError(Exception):
    """Not a head of a device of this vault."""


class Head:
    """A decoded head, its signature checked against the log."""

    def __init__(self, raw, log):
        if len(raw) > 65_536:
            raise HeadError("a head of more than 64 KiB")
        body, signature = cbor.decode(raw)
        fields = cbor.decode(body)
        if fields[0] != 1:
            raise HeadError(f"a head of version {fields[0]}")
        self.hash = keys.derive("larder 2026 head v1", body)
        self.device, self.seq, self.prev = fields[2], fields[3], fields.get(4)
        self.commit_root, self.commit_bytes = fields[6]
        self.claims_root, self.claims_count = fields[7][0], fields[7][1]
        self.seen, self.time = fields[8], fields[9]
        if fields[1] != log.vault:
            raise HeadError("a head of another vault")
        if self.seq < 1 or (self.prev is None) != (self.seq == 1) or not 1 <= self.commit_bytes <= 64 << 20:
            raise HeadError("a head that contradicts itself")
        if not log.head_counts(self.device, self.seq, self.hash):
            raise HeadError("a head of a stranger, or of a removed device after the last that counts")
        if not keys.verify(keys.HEAD, self.device, body, signature):
            raise HeadError("a head with a wrong signature")


def newest(records, log):
    """Of every device the head with the highest number (of two equal ones the smaller hash), and what was refused."""
    best, refused = {}, []
    for name, raw in records:
        try:
            head = Head(raw, log)
        except (HeadError, cbor.CborError, KeyError, TypeError, ValueError, IndexError) as error:
            refused.append((name, str(error)))
            continue
        known = best.get(head.device)
        if known is None or (head.seq, _smaller(head.hash)) > (known.seq, _smaller(known.hash)):
            best[head.device] = head
    return [best[device] for device in sorted(best)], refused


def _smaller(digest):
    return bytes(255 - byte for byte in digest)


def claims_root(roots):
    """What a head says about the set of packs that its manifest needs."""
    return keys.derive("larder 2026 claims v1", b"".join(sorted(set(roots))))
