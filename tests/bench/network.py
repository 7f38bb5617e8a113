"""Devices in network namespaces of their own, on one switch: no other network, no address told. As root."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 60
# What each place calls its network interface.
END = "lan0"


class Device:
    """A home in a namespace of its own."""

    def __init__(self, larder, place, home):
        self.larder, self.place, self.home = larder, place, home

    def command(self, *words):
        return within(self.place, self.larder, "--home", str(self.home), *words)

    def run(self, *words):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"larder {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def found(self, name):
        self.run("init", "--name", name, "--site", name, "--no-check", "--phrase-out", f"{self.home}.words")

    @contextmanager
    def up(self):
        with running(self.command("up", "--json"), stdout=subprocess.PIPE, text=True) as node:
            node.stdout.readline()
            yield node


def within(place, *command):
    return ["ip", "netns", "exec", place, *command]


@contextmanager
def running(command, **how):
    """A process that is ended, and waited for, at the end of the block."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **how)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=LIMIT_S)


@contextmanager
def switch(count, network="10.88.0"):
    """So many namespaces on one switch, which is removed with them at the end, also after an error."""
    hub, *places = (f"larder-bench-{os.getpid()}-{network}-{number}" for number in range(count + 1))
    try:
        for place in (hub, *places):
            ip("netns", "add", place)
            ip("-n", place, "link", "set", "lo", "up")
        ip("-n", hub, "link", "add", "hub0", "type", "bridge")
        ip("-n", hub, "link", "set", "hub0", "up")
        for number, place in enumerate(places, start=1):
            port = f"port{number}"
            ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", END, "netns", place)
            ip("-n", hub, "link", "set", port, "master", "hub0", "up")
            ip("-n", place, "address", "add", f"{network}.{number}/24", "dev", END)
            ip("-n", place, "link", "set", END, "up")
            ip("-n", place, "route", "add", "default", "dev", END)
        yield places
    finally:
        for place in (hub, *places):
            if Path("/run/netns", place).exists():
                ip("netns", "delete", place)


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
