"""Counts what two idle devices do: packets, wake-ups, processor time, memory; of Larder and of Syncthing in one run.

    cargo build --release --bin larder --bin larder-relay
    sudo python3 tests/bench/idle.py --larder target/release/larder --relay target/release/larder-relay

Each pair stands on a switch of its own, without any other network, and keeps the same folder safe: of Larder's one backs it up
to the other, Syncthing's both have it. When all of them have done what there is to do and were left alone for a while, what
comes and goes at their network interfaces is counted, and what their processes use. All pairs are idle at the same time. With
`--relay` there is one pair more that is connected to a relay on the same switch, as devices are that must be found from afar.
Syncthing is taken from the path, and left out where it is not; global discovery, its relays and NAT mapping are off, since
there is no internet here: with them it says more.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as xml
from contextlib import ExitStack, contextmanager
from pathlib import Path

from network import END, Device, ip, running, switch, within

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
FILES, FILE_BYTES = 40, MIB // 4


class Watched:
    """A process whose network interface is its own."""

    def __init__(self, pair, name, place, process):
        self.pair, self.name, self.place, self.pid = pair, name, place, process.pid

    def now(self):
        """Packets and bytes that came and went so far, seconds of a processor, and wake-ups of all threads."""
        link = json.loads(ip("-n", self.place, "-s", "-j", "link", "show", "dev", END))[0]["stats64"]
        total = {what: link["rx"][what] + link["tx"][what] for what in ("packets", "bytes")}
        folder = Path("/proc", str(self.pid))
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        total["cpu"] = (int(fields[11]) + int(fields[12])) / TICKS
        total["wakes"] = sum(value_of("voluntary_ctxt_switches", thread / "status") for thread in (folder / "task").iterdir())
        return total

    def resident_mib(self):
        return value_of("VmRSS", Path("/proc", str(self.pid), "status")) / 1024


def value_of(key, path):
    lines = path.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def fill(folder):
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number}.bin").write_bytes(os.urandom(FILE_BYTES))
    return folder


@contextmanager
def larders(pair, larder, places, folder, relay=None):
    """Two vaults in one circle; the first one has backed a folder up to the second."""
    first, second = (Device(larder, place, folder / name) for place, name in zip(places, ("first", "second")))
    with ExitStack() as stack:
        nodes = []
        for device, name in ((first, "first"), (second, "second")):
            device.found(name)
            if relay:
                device.run("config", "set", "net.relays", relay(name))
            nodes.append(stack.enter_context(device.up()))
            device.run("offer", "1GB")
        invitation = json.loads(first.run("invite", "--circle", "--no-wait", "--json"))
        second.run("join", invitation["code"])
        first.run("add", str(fill(folder / "photos")))
        first.run("backup")
        yield [Watched(pair, *one) for one in zip(("first", "second"), places, nodes)]


@contextmanager
def larder_relay(binary, place, address, folder):
    """A relay in a place; what is passed on makes an invitation for a name."""
    settings = folder / "relay.toml"
    settings.write_text(f'state = "{folder}/relay"\nlisten = "{address}:8443"\nmetrics = "127.0.0.1:8444"\n')
    command = within(place, binary, "--config", str(settings))
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()

        def invited(name):
            done = subprocess.run([*command, "invite", "--name", name], capture_output=True, text=True, check=True)
            return done.stdout.strip()

        yield invited


@contextmanager
def syncthings(binary, places, folder):
    """Two devices that share a folder."""
    homes = [folder / "first", folder / "second"]
    for home in homes:
        subprocess.run([binary, "generate", f"--home={home}", "--no-default-folder"], check=True, capture_output=True)
    ids = [xml.parse(home / "config.xml").find("device").get("id") for home in homes]
    fill(homes[0] / "photos")
    (homes[1] / "photos").mkdir()
    for own, home in enumerate(homes):
        configure(home, ids, own)
    with ExitStack() as stack:
        watched = []
        for name, place, home in zip(("first", "second"), places, homes):
            command = within(place, binary, "serve", f"--home={home}", "--no-browser", "--no-restart")
            # It runs itself once more, to be started again after a crash, unless it is told that it is this one.
            process = stack.enter_context(running(command, stdout=subprocess.DEVNULL, env={**os.environ, "STMONITORED": "yes"}))
            watched.append(Watched("Syncthing", name, place, process))
        yield watched
        arrived = len(list((homes[1] / "photos").glob("*.bin")))
        if arrived != FILES:
            raise SystemExit(f"Syncthing has brought {arrived} of {FILES} files: this counts nothing")


def configure(home, ids, own):
    """Shares the folder with the other device, and turns off what needs an internet."""
    tree = xml.parse(home / "config.xml")
    root, options = tree.getroot(), tree.find("options")
    off = {"globalAnnounceEnabled": "false", "relaysEnabled": "false", "natEnabled": "false", "urAccepted": "-1"}
    off |= {"autoUpgradeIntervalH": "0", "crashReportingEnabled": "false", "startBrowser": "false"}
    for key, value in off.items():
        for element in options.findall(key):
            element.text = value
    other = 1 - own
    device = xml.SubElement(root, "device", id=ids[other], name="other", compression="metadata")
    xml.SubElement(device, "address").text = "dynamic"
    shared = xml.SubElement(root, "folder", id="photos", path=str(home / "photos"), type="sendreceive")
    shared.attrib |= {"rescanIntervalS": "3600", "fsWatcherEnabled": "true"}
    for one in ids:
        xml.SubElement(shared, "device", id=one)
    (home / "photos" / ".stfolder").mkdir(exist_ok=True)
    tree.write(home / "config.xml")


def counted(watched, seconds):
    """What each did within so many seconds."""
    before, start = [one.now() for one in watched], time.monotonic()
    time.sleep(seconds)
    after, hours = [one.now() for one in watched], (time.monotonic() - start) / 3600
    return [{key: (late[key] - early[key]) / hours for key in early} for early, late in zip(before, after)]


def table(watched, hourly, minutes):
    print(f"Counted for {minutes:g} minutes, by the hour.\n")
    print("| pair | device | packets | kB | CPU s | CPU % | wake-ups a second | memory MiB |\n|---|---|---|---|---|---|---|---|")
    for one, found in zip(watched, hourly):
        busy = f"{found['cpu']:.1f} | {found['cpu'] / 36:.3f} | {found['wakes'] / 3600:.1f}"
        print(f"| {one.pair} | {one.name} | {found['packets']:.0f} | {found['bytes'] / 1000:.0f} | {busy} | {one.resident_mib():.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--larder", required=True, help="the binary")
    parser.add_argument("--relay", help="the binary of the relay, for a pair that is connected to one")
    parser.add_argument("--minutes", type=float, default=60, help="how long to count (60)")
    parser.add_argument("--settle", type=float, default=5, help="minutes to leave them alone before (5)")
    options = parser.parse_args()
    # Ended from outside it removes what it made as well.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    larder, syncthing = str(Path(options.larder).resolve()), shutil.which("syncthing")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        watched = stack.enter_context(larders("Larder", larder, stack.enter_context(switch(2, "10.88.1")), folder / "alone"))
        if options.relay:
            *places, third = stack.enter_context(switch(3, "10.88.2"))
            at = (folder / "by-relay")
            at.mkdir()
            relay = stack.enter_context(larder_relay(str(Path(options.relay).resolve()), third, "10.88.2.3", at))
            watched += stack.enter_context(larders("Larder with a relay", larder, places, at, relay))
        if syncthing:
            places = stack.enter_context(switch(2, "10.88.3"))
            watched += stack.enter_context(syncthings(syncthing, places, folder / "syncthing"))
        time.sleep(60 * options.settle)
        hourly = counted(watched, 60 * options.minutes)
        table(watched, hourly, options.minutes)


if __name__ == "__main__":
    main()
