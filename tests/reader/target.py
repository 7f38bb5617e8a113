"""Writing a tree: entries of directory nodes become files, with every attribute that this user may set."""

import errno
import os
import stat

FILE, DIRECTORY, SYMLINK, FIFO, SOCKET, CHAR_DEVICE, BLOCK_DEVICE = range(7)


class Target:
    """A directory being restored into. Names come checked: no slash, no NUL, not `.` or `..`."""

    def __init__(self, path):
        self.path = os.fsencode(path)
        self.problems = []
        self.files = 0
        self._linked = {}

    def entry(self, path, entry, content):
        """Makes one entry that is no directory. `content` is called for the pieces of a file:
        `(bytes or None for a hole, length)`."""
        known = self._linked.get(entry.identity) if entry.links > 1 and entry.identity else None
        if known is not None:
            os.link(known, path, follow_symlinks=False)
            return
        if entry.kind == FILE:
            self._file(path, entry, content)
        elif entry.kind == SYMLINK:
            os.symlink(entry.target, path)
        elif entry.kind == FIFO:
            os.mkfifo(path)
        else:
            kinds = {SOCKET: stat.S_IFSOCK, CHAR_DEVICE: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}
            if not self._allowed(path, lambda: os.mknod(path, kinds[entry.kind] | 0o600, os.makedev(*entry.device))):
                return
        self.files += 1
        self.attributes(path, entry)
        if entry.links > 1 and entry.identity:
            self._linked[entry.identity] = path

    def _file(self, path, entry, content):
        with open(path, "xb", opener=_private) as file:
            for piece, length in content(entry):
                if piece is None:
                    file.seek(length, os.SEEK_CUR)
                else:
                    file.write(piece)
            file.truncate(entry.bytes)

    def attributes(self, path, entry):
        """In the order of specs/files.md: a change of owner clears some of the rest, an ACL changes the mode."""
        self._allowed(path, lambda: os.lchown(path, entry.uid, entry.gid))
        for name, value in entry.xattrs:
            self._allowed(path, lambda: os.setxattr(path, name, value, follow_symlinks=False))
        if entry.kind != SYMLINK:
            os.chmod(path, entry.mode)
        moment = entry.seconds * 10**9 + entry.nanoseconds
        os.utime(path, ns=(moment, moment), follow_symlinks=False)

    def _allowed(self, path, act):
        try:
            act()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOTSUP):
                raise
            self.problems.append((path, error.strerror))
            return False
        return True


def _private(path, flags):
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
