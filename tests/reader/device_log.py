"""Who belongs to a vault, and the epoch keys in its log. Source: specs/device_log.md.

A reader with the phrase needs three things of the log: that it is the log of this phrase, who may sign heads, and the
epoch keys. It checks all that holds for an entry alone and for its place in the graph.
"""

import cbor
import keys

GENESIS, ADD = 0, 1


class LogError(Exception):
    """Not a device log that can be trusted."""


class Entry:
    """One signed entry."""

    def __init__(self, raw):
        if len(raw) > 65_536:
            raise LogError("an entry of more than 64 KiB")
        self.body, self.signature, self.consent, *access = cbor.decode(raw)
        self.access = access[0] if access else None
        self.hash = keys.derive("larder 2026 log entry v1", self.body)
        fields = cbor.decode(self.body)
        act = fields[5][0]
        if fields[0] != 1 or act not in (GENESIS, ADD):
            raise LogError(f"an entry of a newer version ({fields[0]}, act {act})")
        self.vault, self.parents, self.time = fields.get(1), fields[2], fields[4]
        self.by_device = fields[3][0] == 0
        self.author = fields[3][1][0] if self.by_device else None
        self.act, self.content = act, fields[5][1][0]
        self.device = self.content[2 if act == GENESIS else 0]
        if len(access) != (1 if act == GENESIS else 0):
            raise LogError("an entry with a signature too many or too few")

    def signed_by(self, author, consenting):
        return keys.verify(keys.LOG_ENTRY, author, self.body, self.signature) and keys.verify(
            keys.LOG_CONSENT, consenting, self.body, self.consent
        )


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
        self._devices = {vault: frozenset([self.genesis.device[0]])}
        self.entries = [self.genesis]
        waiting = list(entries.values())
        while waiting:
            ready = [entry for entry in waiting if all(parent in self._devices for parent in entry.parents)]
            if not ready:
                break
            for entry in ready:
                waiting.remove(entry)
                self._take(entry)
        self.refused += len(waiting)
        self.devices = frozenset().union(*self._devices.values())

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
        before = frozenset().union(*(self._devices[parent] for parent in entry.parents))
        author = entry.author if entry.by_device else self.recovery[0]
        device = entry.device[0]
        valid = (
            entry.act == ADD
            and entry.vault == self.vault
            and entry.parents
            and (not entry.by_device or author in before)
            and device not in before
            and device not in (self.recovery[0], self.recovery[1])
            and entry.signed_by(author, device)
        )
        if valid:
            self._devices[entry.hash] = before | {device}
            self.entries.append(entry)
        else:
            self.refused += 1

    def belongs_to(self, recovery):
        """Whether it is the log of this phrase."""
        return (self.recovery[0], self.recovery[1], self.recovery[2]) == (recovery.signing, recovery.access, recovery.hpke)

    def epoch_keys(self, recovery):
        """Every epoch key that is wrapped to the phrase: number -> key. In this version: epoch 1."""
        commitment = self.genesis.content[4]
        for wrap in self.genesis.content[5]:
            if wrap[0] == recovery.hpke:
                key = keys.open_wrap(wrap, recovery.hpke_secret, 1, commitment, self.salt)
                if key is not None:
                    return {1: key}
        raise LogError("no epoch key in the log opens with this phrase")
