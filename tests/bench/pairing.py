"""Times pairing by the spoken code in one network: from the code being entered to the end of `larder join`.

    cargo build --release --bin larder
    sudo python3 tests/bench/pairing.py --larder target/release/larder

Two network namespaces on one switch stand for two devices at home: no other network, no relay, no address told.
As root. What is made is removed, also after an error. Beside it, in the same run, what the same code takes in its long
form, which names the address: the difference is what finding each other by a number takes.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from network import Device, switch


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
    with switch(2) as places:
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
