"""Who belongs to a vault, and the epoch keys in its log. Source: specs/device_log.md.

A reader with the phrase needs four things of the log: that it is the log of this phrase, which heads count, the epoch
keys, and what devices are called. It checks signatures, who may write what, and who was removed by whom; not whether an author wrapped a new
key to the right devices, which harms nobody who reads.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import cbor
import keys

GENESIS, ADD, EPOCH, REMOVE, RENAME = range(5)
OWNER, MEMBER = range(2)


class LogError(Exception):
    """Not a device log that can be trusted."""


class Entry:
    """One signed entry."""

    def __init__(self, raw):
        if len(raw) > 65_536:
            raise LogError("an entry of more than 64 KiB")
        self.raw = raw
        self.body, self.signature, *others = cbor.decode(raw)
        self.consent, access = (others[0] if others else None), others[1:]
        self.access = access[0] if access else None
        self.hash = keys.derive("larder 2026 log entry v1", self.body)
        fields = cbor.decode(self.body)
        act = fields[5][0]
        if fields[0] != 1 or act not in range(5):
            raise LogError(f"an entry of a newer version ({fields[0]}, act {act})")
        self.vault, self.parents, self.time = fields.get(1), fields[2], fields[4]
        self.by_device = fields[3][0] == 0
        self.author = fields[3][1][0] if self.by_device else None
        self.act, self.content = act, fields[5][1][0]
        self.device = self.content[{GENESIS: 2, ADD: 0}[act]] if act in (GENESIS, ADD) else None
        self.label = self.content[{GENESIS: 3, ADD: 1, RENAME: 1}[act]] if act in (GENESIS, ADD, RENAME) else None
        self.role = self.content.get(3, OWNER) if act == ADD else OWNER
        if act == ADD and 3 in self.content and (self.role != MEMBER or not self.by_device):
            raise LogError("a role that cannot be")
        if (self.consent is None) != (self.device is None):
            raise LogError("an entry with a consent too many or too few")
        if len(access) != (1 if act == GENESIS else 0):
            raise LogError("an entry with a signature too many or too few")

    def signed_by(self, author, consenting):
        consents = self.consent is None or keys.verify(keys.LOG_CONSENT, consenting, self.body, self.consent)
        return consents and keys.verify(keys.LOG_ENTRY, author, self.body, self.signature)

    def needs_owner(self):
        """Whether only an owner may write it."""
        return self.act in (ADD, REMOVE) or (self.act == RENAME and self.content[0] != self.author)

    def epoch(self):
        """The epoch that it begins: number, commitment, wraps, earlier keys."""
        if self.act == GENESIS:
            return 1, self.content[4], self.content[5], []
        rotation = {EPOCH: self.content, REMOVE: self.content.get(3)}.get(self.act)
        return (rotation[0], rotation[1], rotation[2], rotation[3]) if rotation else None


class Log:
    """A vault's log: entries merged in any order. Entries that do not verify are left out and counted."""

    def __init__(self, vault, records):
        entries, self.refused = {}, 0
        for raw in records:
            entry = Entry(raw)
            entries[entry.hash] = entry
        if vault not in entries or entries[vault].act != GENESIS:
            raise LogError("the log has no genesis of this vault")
        self.vault, self.genesis = vault, entries.pop(vault)
        self.salt, self.recovery = self.genesis.content[0], self.genesis.content[1]
        self._check_genesis()
        self._before = {vault: frozenset()}
        self._depth = {vault: 0}
        self._by_hash = {vault: self.genesis}
        self.entries = [self.genesis]
        waiting = list(entries.values())
        while waiting:
            ready = [entry for entry in waiting if all(parent in self._by_hash for parent in entry.parents)]
            if not ready:
                break
            for entry in ready:
                waiting.remove(entry)
                self._take(entry)
        self.refused += len(waiting)
        self.devices, self.removed, self._counting, self.owners = self._judge(self._by_hash)

    def _check_genesis(self):
        genesis = self.genesis
        device = genesis.device[0]
        if genesis.vault is not None or genesis.parents or genesis.author != device:
            raise LogError("the genesis is not the beginning of a log")
        if not genesis.signed_by(device, self.recovery[0]):
            raise LogError("the genesis is not signed")
        if not keys.verify(keys.LOG_ACCESS, self.recovery[1], genesis.body, genesis.access):
            raise LogError("the genesis names an access key that did not sign it")

    def _take(self, entry):
        if entry.act == GENESIS or entry.vault != self.vault or not entry.parents:
            self.refused += 1
            return
        before = frozenset(entry.parents).union(*(self._before[parent] for parent in entry.parents))
        living, _, _, owners = self._judge(before)
        known = {self._by_hash[one].device[0] for one in before if self._by_hash[one].device}
        author = entry.author if entry.by_device else self.recovery[0]
        valid = not entry.by_device or author in (living & owners if entry.needs_owner() else living)
        if entry.act == RENAME:
            valid = valid and entry.content[0] in known
        if entry.act == ADD:
            device = entry.device[0]
            valid = valid and device not in known and device not in (self.recovery[0], self.recovery[1])
        if entry.act == REMOVE:
            leaver = entry.content[0]
            valid = valid and leaver in living and leaver != entry.author and len(living) > 1
        valid = valid and entry.signed_by(author, entry.device[0] if entry.device else None)
        if valid:
            self._before[entry.hash] = before
            self._depth[entry.hash] = 1 + max(self._depth[parent] for parent in entry.parents)
            self._by_hash[entry.hash] = entry
            self.entries.append(entry)
        else:
            self.refused += 1

    def _judge(self, within):
        """Of a set of entries with their ancestors: who lives; who was removed, and how; what counts; who is an owner."""
        order = [entry for entry in self.entries if entry.hash in within]

        def rank(entry):
            if not entry.by_device:
                return 0, 0, b""
            took_in = [
                (self._depth[one], one)
                for one in self._before[entry.hash]
                if self._by_hash[one].device and self._by_hash[one].device[0] == entry.author
            ]
            return (1, *min(took_in))

        removals = [entry for entry in order if entry.act == REMOVE]
        removals.sort(key=lambda entry: (rank(entry), self._depth[entry.hash], entry.hash))
        cuts, (counting, members) = [], self._count(order, [])
        for removal in removals:
            if removal.hash in counting:
                cuts.append(removal)
                counting, members = self._count(order, cuts)
        removed = {}
        for cut in cuts:
            kept = removed.get(cut.content[0])
            if kept is None or _speaks_before(cut, kept):
                removed[cut.content[0]] = cut
        owners = {it for it, took_in in members.items() if any(self._by_hash[one].role == OWNER for one in took_in)}
        return frozenset(members) - frozenset(removed), removed, counting, frozenset(owners)

    def _count(self, order, cuts):
        counting, members = set(), {}
        for entry in order:
            before = self._before[entry.hash]
            if entry.by_device and entry.act != GENESIS:
                is_cut = any(
                    cut.content[0] == entry.author and entry.hash not in self._before[cut.hash] for cut in cuts
                )
                took_in = [one for one in members.get(entry.author, ()) if one in before]
                if entry.needs_owner():
                    took_in = [one for one in took_in if self._by_hash[one].role == OWNER]
                if is_cut or not took_in:
                    continue
            counting.add(entry.hash)
            if entry.device:
                members.setdefault(entry.device[0], []).append(entry.hash)
        return counting, members

    def label(self, device, epoch_keys):
        """Name and site of a device: by the newest rename that counts and opens, else as it was taken in."""
        renames = [one for one in self.entries if one.act == RENAME and one.content[0] == device]
        renames = [one for one in renames if one.hash in self._counting]
        renames.sort(key=lambda one: (-self._depth[one.hash], one.hash))
        took_in = [one for one in self.entries if one.device and one.device[0] == device]
        for entry in renames + [min(took_in, key=lambda one: one.hash)]:
            for key in epoch_keys.get(entry.label[0], ()):
                opened = _open_label(entry.label, device, key)
                if opened:
                    return opened
        return None

    def head_counts(self, device, seq, head):
        """Whether a head of a device counts: of a removed one up to the last that its removal names."""
        last = self.removed[device].content[2] if device in self.removed else None
        return device in self.devices or (last is not None and (seq < last[0] or head == last[1]))

    def belongs_to(self, recovery):
        """Whether it is the log of this phrase."""
        return (self.recovery[0], self.recovery[1], self.recovery[2]) == (recovery.signing, recovery.access, recovery.hpke)

    def epoch_keys(self, recovery):
        """Every epoch key that the phrase opens: number -> keys. Two epochs that began apart may have one number."""
        begun, found = [entry.epoch() for entry in self.entries if entry.epoch()], {}
        for number, commitment, wraps, _ in begun:
            for wrap in wraps:
                if wrap[0] == recovery.hpke:
                    key = keys.open_wrap(wrap, recovery.hpke_secret, number, commitment, self.salt)
                    if key is not None:
                        found[number, commitment] = key
        for number, commitment, _, prior in sorted(begun, key=lambda epoch: epoch[0], reverse=True):
            key = found.get((number, commitment))
            for earlier in prior if key else []:
                known = keys.open_prior(key, earlier, self.salt)
                if known is not None:
                    found.setdefault((earlier[0], earlier[1]), known)
        if (1, self.genesis.content[4]) not in found:
            raise LogError("no epoch key in the log opens with this phrase")
        numbers = {}
        for (number, _), key in sorted(found.items()):
            numbers.setdefault(number, []).append(key)
        return numbers


def _open_label(label, device, epoch_key):
    """Name and site in a sealed label, or None when it is not one of this device or not sealed with this key."""
    cipher = ChaCha20Poly1305(keys.derive("larder 2026 label key v1", epoch_key + label[1]))
    try:
        plain = cipher.decrypt(bytes(12), label[2], device)
        fields, rest = cbor.decode_first(plain)
    except (InvalidTag, cbor.CborError):
        return None
    return (fields[0], fields[1]) if not any(rest) else None


def _speaks_before(one, other):
    """Of two removals of one device: the higher last head, then the smaller hash."""
    last = [(removal.content[2][0] if removal.content[2] else -1) for removal in (one, other)]
    return last[0] > last[1] or (last[0] == last[1] and one.hash < other.hash)
