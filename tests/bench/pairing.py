"""Times pairing by the spoken code in one network: from the code being entered to the end of `larder join`.

    cargo build --release --bin larder
    sudo python3 tests/bench/pairing.py --larder target/release/larder

Two network namespaces, joined by one cable, stand for two devices at home: no other network, no relay, no address told.
As root. What is made is removed, also after an error. Beside it, in the same run, what the same code takes in its long
form, which names the address: the difference is what finding each other by a number takes.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 60


class Device:
    """A home in a namespace of its own."""

    def __init__(self, larder, place, home):
        self.larder, self.place, self.home = larder, place, home

    def command(self, *words):
        return ["ip", "netns", "exec", self.place, self.larder, "--home", str(self.home), *words]

    def run(self, *words):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"larder {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def found(self, name):
        self.run("init", "--name", name, "--site", name, "--no-check", "--phrase-out", f"{self.home}.words")

    @contextmanager
    def up(self):
        node = subprocess.Popen(self.command("up", "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            node.stdout.readline()
            yield
        finally:
            node.terminate()
            node.wait(timeout=LIMIT_S)


@contextmanager
def cable():
    """Two namespaces with a cable between them."""
    places = [f"larder-bench-{os.getpid()}-{side}" for side in "ab"]
    ends = ["pair0", "pair1"]

    def ip(*words, **how):
        subprocess.run(["ip", *words], check=True, **how)

    try:
        for place in places:
            ip("netns", "add", place)
            ip("-n", place, "link", "set", "lo", "up")
        ip("-n", places[0], "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", places[1])
        for number, (place, end) in enumerate(zip(places, ends), start=1):
            ip("-n", place, "address", "add", f"10.88.0.{number}/24", "dev", end)
            ip("-n", place, "link", "set", end, "up")
            ip("-n", place, "route", "add", "default", "dev", end)
        yield places
    finally:
        for place in places:
            subprocess.run(["ip", "netns", "delete", place], stderr=subprocess.DEVNULL)


def joined(larder, places, folder, kind, code):
    """Seconds of one pairing of fresh homes."""
    here, there = (Device(larder, place, folder / name) for place, name in zip(places, ("here", "there")))
    here.found("here")
    with here.up():
        invitation = json.loads(here.run("invite", f"--{kind}", "--no-wait", "--json"))
        if kind == "device":
            return entered(there, invitation[code])
        there.found("there")
        with there.up():
            return entered(there, invitation[code])


def entered(device, code):
    start = time.monotonic()
    device.run("join", code, "--name", "there")
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--larder", required=True, help="the binary")
    parser.add_argument("--rounds", type=int, default=7, help="how often (7)")
    options = parser.parse_args()
    larder = str(Path(options.larder).resolve())
    cases = [(kind, code) for kind in ("device", "circle") for code in ("spoken", "code")]
    taken = {case: [] for case in cases}
    with cable() as places:
        for _ in range(options.rounds):
            for kind, code in cases:
                with tempfile.TemporaryDirectory() as folder:
                    taken[kind, code].append(joined(larder, places, Path(folder), kind, code))
    print("| what joins | code | rounds | s | spread |\n|---|---|---|---|---|")
    for (kind, code), seconds in taken.items():
        name = {"spoken": "a number and three words", "code": "the long one"}[code]
        what = {"device": "a device", "circle": "another vault"}[kind]
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"| {what} | {name} | {len(seconds)} | {statistics.median(seconds):.2f} | {spread} |")


if __name__ == "__main__":
    main()
