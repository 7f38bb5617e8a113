"""A holder's home as it lies on its disk: shards in `depot/` (specs/depot.md), logs and heads in `vaults/` (specs/home.md).

Nothing is trusted: a shard is compared with its name before it is used, and a damaged one counts as missing.
"""

from pathlib import Path

from blake3 import blake3


class DepotError(Exception):
    """A shard that is needed is not there, or its bytes are not what its name says."""


class Home:
    """The home of one holder, only read."""

    def __init__(self, path):
        self.path = Path(path)
        self._last = (None, b"")

    def vaults(self):
        """Ids of the vaults that this home keeps a log of."""
        return sorted(bytes.fromhex(place.name) for place in (self.path / "vaults").iterdir() if _is_hex(place.name))

    def log(self, vault):
        """Entries of a vault's device log, in no order: (name, bytes)."""
        return self._records(vault, "log")

    def heads(self, vault):
        """Heads of a vault's devices: (name, bytes)."""
        return self._records(vault, "heads")

    def _records(self, vault, kind):
        directory = self.path / "vaults" / vault.hex() / kind
        places = sorted(directory.iterdir()) if directory.is_dir() else []
        return [(place.name, place.read_bytes()) for place in places if not place.name.startswith(".")]

    def shard(self, root, length):
        """All bytes of a shard, checked. The last one is kept, since neighbours are asked for together."""
        if self._last[0] != root:
            name = root.hex()
            place = self.path / "depot" / name[:2] / name
            try:
                data = place.read_bytes()
            except OSError as error:
                raise DepotError(f"shard {name[:8]} is not here: {error.strerror}") from error
            if len(data) != length or blake3(data).digest() != root:
                raise DepotError(f"shard {name[:8]} is damaged")
            self._last = (root, data)
        return self._last[1]


def _is_hex(name):
    return len(name) == 64 and all(digit in "0123456789abcdef" for digit in name)
