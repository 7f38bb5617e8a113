"""Trees to save: a copy of the user's own, and made ones; how they change; how two are compared.

Everything that is made follows from a seed, so that every tool in every round and on every machine meets the same bytes.
"""

import hashlib
import os
import random
import shutil
import stat
from pathlib import Path

BLOCK = 4096
PIECE = 1 << 20


def mirror(source, target):
    """Makes `target` a copy of `source`; what is the same there already by size and time is left alone."""
    target.mkdir(parents=True, exist_ok=True)
    there = {entry.name: entry for entry in os.scandir(target)}
    with os.scandir(source) as entries:
        for entry in entries:
            old, place = there.pop(entry.name, None), target / entry.name
            if old is not None and _is_same(entry, old):
                continue
            if entry.is_dir(follow_symlinks=False):
                if old is not None and not old.is_dir(follow_symlinks=False):
                    place.unlink()
                mirror(Path(entry.path), place)
                continue
            if old is not None:
                _remove(place)
            if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                shutil.copy2(entry.path, place, follow_symlinks=False)
    for name in there:
        _remove(target / name)
    shutil.copystat(source, target)


def _is_same(one, other):
    a, b = one.stat(follow_symlinks=False), other.stat(follow_symlinks=False)
    if stat.S_ISDIR(a.st_mode):
        return False
    return (a.st_mode, a.st_size, a.st_mtime_ns) == (b.st_mode, b.st_size, b.st_mtime_ns)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def change_source(tree, version):
    """Changes a tree of text as a release does: of a hundred files five are edited, one goes, one is new.

    Which ones follows from their paths and the version.
    """
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_symlink():
                continue
            key = hashlib.sha256(f"{version} {path.relative_to(tree)}".encode(errors="surrogateescape")).digest()
            lot = int.from_bytes(key[:4], "big") % 100
            if lot < 5:
                _edit(path, key)
            elif lot == 5:
                path.unlink()
            elif lot == 6:
                shutil.copy(path, path.with_name(f"{name}.{version}"))
                _edit(path.with_name(f"{name}.{version}"), key)


def _edit(path, key):
    """A line is put in, another goes."""
    data = path.read_bytes()
    at = int.from_bytes(key[4:8], "big") % (len(data) + 1)
    at = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    end = len(data) if end < 0 else end
    path.chmod(path.stat().st_mode | stat.S_IWUSR)
    path.write_bytes(data[:at] + b"\t/* " + key.hex().encode() + b" */\n" + data[at:end] + data[end + 1 :])


def make_photos(tree, total, size):
    """Files of `size` bytes that nothing can compress."""
    tree.mkdir(parents=True, exist_ok=True)
    for number in range(total // size):
        with open(tree / f"{number:06}.raw", "wb") as file:
            dice = random.Random(f"photo {number}")
            for _ in range(0, size, PIECE):
                file.write(dice.randbytes(PIECE))


def make_image(tree, total):
    """One disk image: of four MiB two cannot be compressed, one is text, one was never written to."""
    tree.mkdir(parents=True, exist_ok=True)
    with open(tree / "disk.img", "wb") as file:
        for number in range(total // PIECE):
            dice = random.Random(f"image {number}")
            if number % 4 < 2:
                file.write(dice.randbytes(PIECE))
            elif number % 4 == 2:
                file.write(dice.randbytes(PIECE // 2).hex().encode())
            else:
                file.write(bytes(PIECE))


def change_image(tree, version):
    """One of a hundred blocks of 4 KiB is written anew, here and there. The same again undoes it."""
    dice = random.Random(f"change {version}")
    with open(tree / "disk.img", "r+b") as file:
        blocks = file.seek(0, os.SEEK_END) // BLOCK
        for block in sorted(dice.sample(range(blocks), blocks // 100)):
            file.seek(block * BLOCK)
            old = int.from_bytes(file.read(BLOCK), "little")
            file.seek(block * BLOCK)
            file.write((old ^ int.from_bytes(dice.randbytes(BLOCK), "little")).to_bytes(BLOCK, "little"))


def make_small(tree, count):
    """Many files of 100 to 4,000 bytes, 250 in each folder."""
    for first in range(0, count, 250):
        folder = tree / f"{first // 250_000:03}" / f"{first // 250 % 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, min(first + 250, count)):
            text = hashlib.shake_128(f"small {number}".encode())
            length = 50 + int.from_bytes(text.digest(2), "big") % 1950
            (folder / f"{number:07}").write_text(text.hexdigest(length), encoding="ascii")


def differences(one, other):
    """Paths whose kind, mode, owner, time of change, target or bytes differ between two trees."""
    found = []
    open_folders = [""]
    while open_folders:
        at = open_folders.pop()
        names = [_names(Path(root, at)) for root in (one, other)]
        found += [os.path.join(at, name) for name in names[0] ^ names[1]]
        for name in sorted(names[0] & names[1]):
            path = os.path.join(at, name)
            a, b = Path(one, path), Path(other, path)
            x, y = a.lstat(), b.lstat()
            if (x.st_mode, x.st_uid, x.st_gid) != (y.st_mode, y.st_uid, y.st_gid):
                found.append(path)
            elif stat.S_ISDIR(x.st_mode):
                open_folders.append(path)
            elif stat.S_ISLNK(x.st_mode):
                found += [path] if os.readlink(a) != os.readlink(b) else []
            elif x.st_mtime_ns != y.st_mtime_ns or not _has_same_bytes(a, b):
                found.append(path)
    return found


def _names(folder):
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


def _has_same_bytes(one, other):
    with open(one, "rb") as a, open(other, "rb") as b:
        while True:
            x, y = a.read(PIECE), b.read(PIECE)
            if x != y:
                return False
            if not x:
                return True
