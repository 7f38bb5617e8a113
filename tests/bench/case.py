"""The cases: which tree, what is done with it, and in what order."""

import os
import time
from pathlib import Path

import tree


class Case:
    """A tree that every peer saves: made once, brought back to its first state for each peer."""

    name = ""
    title = ""
    steps = ("first", "unchanged", "restore")

    def __init__(self, folder):
        # The last part of the path is what tools show; the folder is the same for all of them.
        self.tree = Path(folder) / self.name

    def first(self):
        """Brings the tree into its first state."""
        raise NotImplementedError

    def change(self, version):
        """Brings it from one state into the next."""
        raise NotImplementedError

    def size(self):
        """Files and bytes of the tree."""
        files = total = 0
        for folder, _, names in os.walk(self.tree):
            for name in names:
                status = os.lstat(os.path.join(folder, name))
                files, total = files + 1, total + status.st_size
        return files, total


def rest():
    """Longer than the second within which tools do not trust that a file is unchanged."""
    os.sync()
    time.sleep(1.2)


class Source(Case):
    """A tree of source code, and its next version if there is one."""

    name = "source"
    title = "source tree"
    steps = ("first", "unchanged", "changed", "restore")

    def __init__(self, folder, old, new):
        super().__init__(folder)
        self.old, self.new = old, new

    def first(self):
        tree.mirror(self.old, self.tree)

    def change(self, version):
        if self.new:
            tree.mirror(self.new, self.tree)
        else:
            tree.change_source(self.tree, version)


class Photos(Case):
    """Files that cannot be compressed."""

    name = "photos"
    title = "incompressible files of 4 MB"

    def __init__(self, folder, total):
        super().__init__(folder)
        self.total = total

    def first(self):
        if not self.tree.exists():
            tree.make_photos(self.tree, self.total, 4 << 20)


class Image(Case):
    """A disk image of which a hundredth changes."""

    name = "image"
    title = "disk image, 1 % of its blocks rewritten"
    steps = ("first", "changed", "restore")

    def __init__(self, folder, total):
        super().__init__(folder)
        self.total, self.is_changed = total, False

    def first(self):
        if not self.tree.exists():
            tree.make_image(self.tree, self.total)
        elif self.is_changed:
            tree.change_image(self.tree, 1)
        self.is_changed = False

    def change(self, version):
        tree.change_image(self.tree, version)
        self.is_changed = True


class Small(Case):
    """Very many small files."""

    name = "small"
    title = "small files"

    def __init__(self, folder, count):
        super().__init__(folder)
        self.count = count

    def first(self):
        if not self.tree.exists():
            tree.make_small(self.tree, self.count)


class Snapshots(Source):
    """The source tree in many snapshots, restored from the first and from the last."""

    name = "snapshots"
    title = "source tree in many snapshots"

    def __init__(self, folder, old, count):
        super().__init__(folder, old, None)
        self.steps = ("first", *["changed"] * (count - 1), "restore first", "restore")
