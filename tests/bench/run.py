"""Times Larder beside other backup programs, in turn, on the same trees, and writes the table. See README.md."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import case
import peer
import table
import tree
from clock import Failed, empty_cache, output, stored_bytes, timed

PROJECT = Path(__file__).resolve().parents[2]
GB = 10**9


def arguments():
    """What the user wants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder on the disk to measure")
    parser.add_argument("--results", type=Path, required=True, help="folder for what was measured and results.md")
    parser.add_argument("--source", type=Path, help="a source tree, such as the Linux kernel's, unpacked")
    parser.add_argument("--source-new", type=Path, help="its next version; else changes are made up, always the same")
    parser.add_argument("--peers", default="restic,rustic,borg,bupstash", help="which programs (%(default)s)")
    parser.add_argument("--peers-folder", type=Path, help="where peers are built (below --work)")
    parser.add_argument("--install", action="store_true", help="install peers that are missing (apt-get, cargo)")
    parser.add_argument("--larder", type=Path, default=PROJECT / "target/release/larder", help="the binary")
    parser.add_argument("--rounds", type=int, default=5, help="how often (%(default)s)")
    parser.add_argument("--cases", default="source,photos,image,small,snapshots", help="which cases (%(default)s)")
    parser.add_argument("--photos-gb", type=float, default=4, help="GB of incompressible files (%(default)s)")
    parser.add_argument("--image-gb", type=float, default=8, help="GB of the disk image (%(default)s)")
    parser.add_argument("--small", type=int, default=1_000_000, help="number of small files (%(default)s)")
    parser.add_argument("--snapshots", type=int, default=30, help="number of snapshots (%(default)s)")
    return parser.parse_args()


class Bench:
    """One run of the program."""

    def __init__(self, wanted):
        self.wanted, self.work = wanted, wanted.work.resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        wanted.results.mkdir(parents=True, exist_ok=True)
        self.rows = open(wanted.results / "measurements.jsonl", "a", encoding="utf-8")
        self.log = str(wanted.results / "output.log")
        self.limit = self._build_limit()
        self.peers, self.left_out = self._find_peers()
        self.restored = 0

    def _build_limit(self):
        command = ["cargo", "bench", "--locked", "--package", "larder-protocol", "--bench", "limit", "--no-run"]
        command += ["--message-format", "json"]
        built = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
        messages = [json.loads(line) for line in built.stdout.splitlines()]
        return next(one["executable"] for one in messages if one.get("executable"))

    def _find_peers(self):
        found, left_out = {"larder": self.wanted.larder}, {}
        folder = self.wanted.peers_folder or self.work / "peers"
        for name in filter(None, self.wanted.peers.split(",")):
            try:
                found[name] = peer.find(peer.PEERS[name], folder.resolve(), self.wanted.install)
            except Failed as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                left_out[name] = str(error)
        return found, left_out

    def cases(self):
        """The cases that are wanted and possible."""
        wanted, folder = self.wanted, self.work / "trees"
        every = {
            "photos": lambda: case.Photos(folder, int(wanted.photos_gb * GB)),
            "image": lambda: case.Image(folder, int(wanted.image_gb * GB)),
            "small": lambda: case.Small(folder, wanted.small),
        }
        if wanted.source:
            every["source"] = lambda: case.Source(folder, wanted.source.resolve(), wanted.source_new)
            every["snapshots"] = lambda: case.Snapshots(folder, wanted.source.resolve(), wanted.snapshots)
        return [every[name]() for name in wanted.cases.split(",") if name in every]

    def write(self, **row):
        """Keeps one row for good."""
        self.rows.write(json.dumps(row) + "\n")
        self.rows.flush()

    def run(self):
        """All cases, all rounds; in every round another peer begins."""
        self.write(kind="machine", **self.machine())
        for one in self.cases():
            one.first()
            files, total = one.size()
            self.write(kind="case", case=one.name, title=one.title, files=files, bytes=total)
            for number in range(self.wanted.rounds):
                names = list(self.peers)
                turn = number % len(names)
                self.measure_limit(one)
                for name in names[turn:] + names[:turn]:
                    self.measure(one, name, number)
            shutil.rmtree(one.tree)
            shutil.rmtree(self.work / "restored", ignore_errors=True)
        text = table.write(self.wanted.results / "measurements.jsonl")
        (self.wanted.results / "results.md").write_text(text, encoding="utf-8")

    def measure_limit(self, one):
        """What no program can undercut."""
        one.first()
        folder, kept = str(one.tree), str(self.work / "limit")
        timed([self.limit, "stat", folder], {}, self.log)
        for step, words in (
            ("stat", ["stat", folder]),
            ("read", ["read", folder]),
            ("work", ["work", folder]),
            ("keep", ["keep", folder, kept]),
        ):
            if step != "stat":
                empty_cache()
            taken = timed([self.limit, *words], {}, self.log)
            self.tell(one, "limit", step, taken)
        os.unlink(kept)

    def measure(self, one, name, number):
        """One peer's way through one case."""
        one.first()
        case.rest()
        tool = peer.PEERS[name](self.peers[name], self.work / name)
        tool.begin()
        version = 0
        try:
            for step in one.steps:
                if step.startswith("restore"):
                    self.restore(one, tool, step, number == 0 and step == "restore")
                    continue
                if step == "changed":
                    version += 1
                    one.change(version)
                    case.rest()
                if step == "first":
                    empty_cache()
                taken = timed(tool.save(str(one.tree)), tool.environment(), self.log)
                self.tell(one, name, step, taken, stored=sum(map(stored_bytes, tool.stored())))
        except Failed as error:
            print(f"{name}, {one.name}: {error}", file=sys.stderr)
            self.write(kind="failed", case=one.name, peer=name, why=str(error))
        shutil.rmtree(tool.folder, ignore_errors=True)

    def restore(self, one, tool, step, is_compared):
        """Restores the first or the last snapshot, and looks whether it is the tree."""
        # Not deleted before all rounds are done: where many files were just deleted, ext4 takes
        # several times as long to make new ones, for minutes.
        self.restored += 1
        out = self.work / "restored" / str(self.restored)
        out.mkdir(parents=True)
        snapshot = tool.snapshots()[0 if step == "restore first" else -1]
        empty_cache()
        taken = timed(tool.restore(snapshot, str(out)), tool.environment(), self.log, out)
        different = None
        if is_compared:
            found = tree.differences(one.tree, tool.restored(one.tree, out))
            different = len(found)
            if found:
                print(f"{tool.name}: {different} entries differ, such as {found[0]}", file=sys.stderr)
        self.tell(one, tool.name, step, taken, different=different)

    def tell(self, one, name, step, taken, **more):
        """Keeps and shows what was measured."""
        self.write(kind="measured", case=one.name, peer=name, step=step, **asdict(taken), **more)
        stored = f" {more['stored'] / 1e6:8.1f} MB" if more.get("stored") else ""
        print(
            f"{one.name:10} {name:9} {step:14} {taken.seconds:8.2f} s +{taken.sync_seconds:5.2f} "
            f"{taken.cpu_seconds:8.2f} s CPU {taken.peak_bytes >> 20:6} MiB{stored}",
            flush=True,
        )

    def machine(self):
        """What the measurements were made on and with."""
        model = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
        memory = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
        versions = {name: peer.PEERS[name](path, self.work / name).version() for name, path in self.peers.items()}
        versions["larder"] += f" ({output(['git', '-C', str(PROJECT), 'describe', '--always', '--dirty'], {}).strip()})"
        return {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "processor": model[0].split(": ")[1] if model else platform.processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": int(memory[0]) * 1024 if memory else 0,
            "system": f"{platform.system()} {platform.release()}",
            "file_system": output(["stat", "--file-system", "--format=%T", str(self.work)], {}).strip(),
            "load": os.getloadavg()[0],
            "cold": empty_cache(),
            "source": self.wanted.source and self.wanted.source.name,
            "source_new": self.wanted.source_new and self.wanted.source_new.name,
            "rounds": self.wanted.rounds,
            "versions": versions,
            "left_out": self.left_out,
        }


def _lines(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    Bench(arguments()).run()
