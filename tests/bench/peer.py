"""The programs that are compared: how each is had, and how it saves, lists and restores.

Each keeps to its own defaults, with encryption, as a person would have it who read its first page. All of a program's
state lies below one folder, so that every round begins with nothing.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from clock import Failed, output


class Peer:
    """One program on its way through one case."""

    name = ""
    apt = None
    crate = None
    # What its crate is built with.
    libraries = ()

    def __init__(self, binary, folder):
        self.binary, self.folder = str(binary), Path(folder)
        self.home, self.repository = self.folder / "home", self.folder / "repository"

    def environment(self):
        """Variables that keep all of the program's state in its folder."""
        return {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache")}

    def begin(self):
        """Makes an empty repository."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.home.mkdir(parents=True)
        for command in self.beginnings():
            self.ask(command)

    def ask(self, command):
        """What the program prints."""
        return output(command, self.environment())

    def stored(self):
        """Folders of what is kept for good; caches, which every program has, are not in them."""
        return [self.repository]

    def version(self):
        """The first line that the program prints when asked for its version."""
        return (output([self.binary, "--version"], {}).strip().splitlines() or ["?"])[0]

    def beginnings(self):
        """Commands that make an empty repository."""
        raise NotImplementedError

    def save(self, tree):
        """The command that saves a tree."""
        raise NotImplementedError

    def snapshots(self):
        """Names of all snapshots, oldest first."""
        raise NotImplementedError

    def restore(self, snapshot, to):
        """The command that restores a snapshot; it runs in the folder `to`."""
        raise NotImplementedError

    def restored(self, tree, to):
        """Where the tree is then."""
        return Path(f"{to}{tree}")


class Larder(Peer):
    """This project's own program, which keeps what it saves on its own disk here."""

    name = "larder"

    def environment(self):
        return {**super().environment(), "LARDER_HOME": str(self.repository)}

    def stored(self):
        return [self.repository / "depot", self.repository / "vaults"]

    def beginnings(self):
        return [
            [self.binary, "init", "--name", "bench", "--phrase-out", str(self.home / "words")],
            [self.binary, "config", "set", "depot.keep_own", "all"],
        ]

    def save(self, tree):
        return [self.binary, "--quiet", "backup", "--wait", "local", tree]

    def snapshots(self):
        listed = json.loads(self.ask([self.binary, "snapshots", "--json"]))
        return [one["snapshot"] for one in listed["snapshots"]]

    def restore(self, snapshot, to):
        return [self.binary, "--quiet", "restore", snapshot, "--to", to]


class Restic(Peer):
    """restic: AES-256, chunks by content, zstd."""

    name = "restic"
    apt = "restic"

    def environment(self):
        own = {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD": "bench"}
        return {**super().environment(), **own}

    def version(self):
        return output([self.binary, "version"], {}).strip()

    def beginnings(self):
        return [[self.binary, "init", "--repository-version", "2"]]

    def save(self, tree):
        return [self.binary, "backup", "--quiet", tree]

    def snapshots(self):
        return [one["id"] for one in json.loads(self.ask([self.binary, "snapshots", "--json"]))]

    def restore(self, snapshot, to):
        return [self.binary, "restore", "--quiet", "--target", to, snapshot]


class Rustic(Peer):
    """rustic: restic's format, in Rust."""

    name = "rustic"
    crate = "rustic-rs"

    def __init__(self, binary, folder):
        super().__init__(binary, folder)
        self.command = [self.binary, "--no-progress", "--log-level", "warn"]

    def environment(self):
        own = {"RUSTIC_REPOSITORY": str(self.repository), "RUSTIC_PASSWORD": "bench"}
        return {**super().environment(), **own}

    def beginnings(self):
        return [[*self.command, "init"]]

    def save(self, tree):
        return [*self.command, "backup", tree]

    def snapshots(self):
        groups = json.loads(self.ask([*self.command, "snapshots", "--json"]))
        found = []
        for group in groups:
            # Of one version a pair, of another a map.
            found += group[1] if isinstance(group, list) else group["snapshots"]
        return [one["id"] for one in sorted(found, key=lambda one: one["time"])]

    def restore(self, snapshot, to):
        return [*self.command, "restore", snapshot, to]


class Borg(Peer):
    """borg: AES or BLAKE2 by key, chunks by content; zstd, as the others have it by default."""

    name = "borg"
    apt = "borgbackup"

    def environment(self):
        own = {"BORG_REPO": str(self.repository), "BORG_PASSPHRASE": "bench", "BORG_BASE_DIR": str(self.home)}
        return {**super().environment(), **own}

    def beginnings(self):
        return [[self.binary, "init", "--encryption", "repokey-blake2"]]

    def save(self, tree):
        return [self.binary, "create", "--compression", "zstd,3", "::{now:%Y-%m-%dT%H:%M:%S.%f}", tree]

    def snapshots(self):
        return self.ask([self.binary, "list", "--short"]).split()

    def restore(self, snapshot, to):
        return [self.binary, "extract", f"::{snapshot}"]


class Bupstash(Peer):
    """bupstash: chunks by content, XChaCha20-Poly1305, zstd."""

    name = "bupstash"
    crate = "bupstash"
    libraries = ("libsodium-dev", "pkg-config")

    def environment(self):
        own = {
            "BUPSTASH_REPOSITORY": str(self.repository),
            "BUPSTASH_KEY": str(self.home / "key"),
            "BUPSTASH_SEND_LOG": str(self.home / "send"),
            "BUPSTASH_QUERY_CACHE": str(self.home / "query"),
        }
        return {**super().environment(), **own}

    def beginnings(self):
        return [[self.binary, "init"], [self.binary, "new-key", "-o", str(self.home / "key")]]

    def save(self, tree):
        return [self.binary, "put", "--quiet", "name=bench", tree]

    def snapshots(self):
        lines = self.ask([self.binary, "list", "--format=jsonl1"]).splitlines()
        listed = sorted((json.loads(line) for line in lines), key=lambda one: one["unix_timestamp_millis"])
        return [one["id"] for one in listed]

    def restore(self, snapshot, to):
        return [self.binary, "restore", "--quiet", "--into", to, f"id={snapshot}"]

    def restored(self, tree, to):
        return Path(to)


PEERS = {peer.name: peer for peer in (Larder, Restic, Rustic, Borg, Bupstash)}


def find(kind, folder, may_install):
    """The binary of a peer: of the environment (RESTIC=…), of `folder`, of the path, or installed now."""
    named = os.environ.get(kind.name.upper())
    if named:
        return named
    own = folder / "bin" / (kind.crate and kind.name or "-")
    if own.is_file():
        return own
    on_path = shutil.which("borg" if kind.name == "borg" else kind.name)
    if on_path:
        return on_path
    if not may_install:
        raise Failed("it is not installed")
    if kind.apt:
        _run(["apt-get", "install", "--yes", "--no-install-recommends", kind.apt])
        return find(kind, folder, False)
    if kind.libraries:
        _run(["apt-get", "install", "--yes", "--no-install-recommends", *kind.libraries])
    _run(["cargo", "install", "--locked", "--root", str(folder), kind.crate])
    return find(kind, folder, False)


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")
