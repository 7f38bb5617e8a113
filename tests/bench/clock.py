"""Runs one command and tells what it took: wall time, processor time, peak memory.

Processor time is that of the command and of all its children. Peak memory is the largest resident set of any one of them;
the kernel counts the program that started a command as well, so nothing below this program's own size is ever told.
"""

import os
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Taken:
    """What one command took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    # How much longer it takes until everything is on the disk: nothing for a program that waited for that itself.
    sync_seconds: float


class Failed(Exception):
    """A command that did not do what it was asked to."""


def timed(command, environment, log, folder=None):
    """Runs a command to its end. Its output goes to the file `log`."""
    with open(log, "ab") as out:
        out.write(f"$ {' '.join(map(str, command))}\n".encode())
        out.flush()
        start = time.monotonic()
        child = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        os.sync()
        sync_seconds = time.monotonic() - start - seconds
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Failed(f"{command[0]} ended with {child.returncode}: {log}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, sync_seconds)


def output(command, environment):
    """What a command prints."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def empty_cache():
    """Has the kernel forget what it read from disks; whether it did (only root may ask)."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
            control.write("3")
    except OSError:
        return False
    return True


def stored_bytes(path):
    """Bytes of all files below a folder, as their lengths say."""
    total = 0
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total
