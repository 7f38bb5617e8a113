#!/usr/bin/env python3
"""Restores from what one holder has on its disk, with the recovery phrase and nothing else.

Written from the pages in specs/, sharing no code with Larder: your data outlives the program that stored it.

    larder_reader.py list    --home HOLDER_HOME --phrase-file FILE
    larder_reader.py restore --home HOLDER_HOME --phrase-file FILE [--snapshot ID] --to DIRECTORY

HOLDER_HOME is the larder home of the holder (or a copy of its disk): only `vaults/` and `depot/` in it are read.
"""

import argparse
import datetime
import os
import sys
from pathlib import Path

import device_log
import head
import keys
import pack
import phrase
import tree
from depot import DepotError, Home
from target import DIRECTORY, Target


class Failed(Exception):
    """Says what is wrong, for the person."""


def find_vault(home, recovery):
    """The log of the vault of this phrase."""
    for vault in home.vaults():
        try:
            log = device_log.Log(vault, [raw for _, raw in home.log(vault)])
        except (device_log.LogError, ValueError) as error:
            print(f"vault {vault.hex()[:8]}: {error}", file=sys.stderr)
            continue
        if log.belongs_to(recovery):
            return log
    raise Failed("this home keeps nothing for the vault of this phrase")


def open_vault(home, recovery):
    """Store and snapshots, oldest first, of all devices."""
    log = find_vault(home, recovery)
    store = pack.Store(home, log.vault, log.epoch_keys(recovery))
    heads, refused = head.newest(home.heads(log.vault), log)
    for name, why in refused:
        print(f"head {name}: {why}", file=sys.stderr)
    snapshots = []
    for newest in heads:
        snapshots += tree.read_manifest(store, newest)
    if not snapshots:
        raise Failed("no head leads to a snapshot")
    return store, sorted(snapshots, key=lambda snapshot: (snapshot.started, snapshot.id))


def choose(snapshots, prefix):
    """The newest complete snapshot, or the one whose id begins so."""
    fitting = [s for s in snapshots if s.id.hex().startswith(prefix)] if prefix else [s for s in snapshots if s.complete]
    if not fitting or prefix and len(fitting) > 1:
        raise Failed(f"{len(fitting)} snapshots fit {prefix or 'complete'!r}")
    return fitting[-1]


def restore(store, summary, directory):
    """Writes a snapshot into a directory, which is made. Without recursion: trees may be deep."""
    root = tree.read_snapshot(store, summary)
    target = Target(directory)
    if root.kind != DIRECTORY:
        os.makedirs(target.path, exist_ok=True)
        target.entry(os.path.join(target.path, root.name), root, lambda entry: tree.pieces(store, entry))
        return target
    os.makedirs(target.path, mode=0o700, exist_ok=True)
    if os.listdir(target.path):
        raise Failed(f"{directory} is not empty")
    open_directories = [(target.path, root, tree.entries(store, root.node))]
    while open_directories:
        path, directory_entry, listing = open_directories[-1]
        entry = next(listing, None)
        if entry is None:
            target.attributes(path, directory_entry)
            open_directories.pop()
            continue
        place = os.path.join(path, entry.name)
        if entry.kind == DIRECTORY:
            if len(open_directories) >= tree.DEPTH_MAX:
                raise Failed("directories nested too deeply")
            os.mkdir(place, 0o700)
            open_directories.append((place, entry, tree.entries(store, entry.node)))
        else:
            target.entry(place, entry, lambda entry: tree.pieces(store, entry))
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("verb", choices=["list", "restore"])
    parser.add_argument("--home", required=True, help="larder home of a holder, or a copy of it")
    parser.add_argument("--phrase-file", required=True, help="file with the 24 words")
    parser.add_argument("--snapshot", default="", help="first digits of an id [default: the newest complete one]")
    parser.add_argument("--to", help="empty or new directory")
    arguments = parser.parse_args()
    if arguments.verb == "restore" and not arguments.to:
        parser.error("restore needs --to")
    try:
        recovery = keys.Recovery(phrase.entropy(Path(arguments.phrase_file).read_text()))
        store, snapshots = open_vault(Home(arguments.home), recovery)
        if arguments.verb == "list":
            for summary in snapshots:
                made = datetime.datetime.fromtimestamp(summary.started, datetime.UTC).isoformat()
                kind = "" if summary.complete else " (checkpoint)"
                print(summary.id.hex(), made, summary.files, summary.bytes, os.fsdecode(summary.root_path) + kind)
            return 0
        summary = choose(snapshots, arguments.snapshot)
        target = restore(store, summary, arguments.to)
    except phrase.PhraseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 5
    except (Failed, DepotError, device_log.LogError, pack.PackError, tree.TreeError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path, why in target.problems:
        print(f"warning: {os.fsdecode(path)!r}: {why}", file=sys.stderr)
    print(f"{target.files} files restored from snapshot {summary.id.hex()[:8]}")
    return 3 if target.problems else 0


if __name__ == "__main__":
    sys.exit(main())
