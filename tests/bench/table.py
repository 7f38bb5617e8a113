"""Writes the table from what was measured: `python3 table.py measurements.jsonl > results.md`."""

import json
import sys
from statistics import median

LARDER = "larder"
LIMIT = "limit"
# They keep an index of what is stored; bupstash asks its repository instead.
WITH_INDEX = ("restic", "rustic", "borg")

# Case, step, what is compared, with what, and the ratio wanted. Times: how many times as fast as the other, at least.
# Sizes and memory: how many times as much as the other, at most.
GOALS = (
    ("source", "first", "seconds", "peers", 1.5),
    ("source", "first", "seconds", "work", 0.70),
    ("photos", "first", "seconds", "peers", 1.5),
    ("photos", "first", "seconds", "keep", 0.80),
    ("source", "unchanged", "seconds", "peers", 2),
    ("source", "unchanged", "seconds", "stat", 1 / 1.5),
    ("small", "unchanged", "seconds", "peers", 2),
    ("small", "unchanged", "seconds", "stat", 1 / 1.5),
    ("source", "changed", "seconds", "peers", 1.5),
    ("image", "changed", "seconds", "peers", 1.5),
    ("source", "restore", "seconds", "peers", 1.5),
    ("snapshots", "restore", "seconds", "restore first", 1 / 1.2),
    ("source", "first", "stored", "peers", 1.10),
    ("source", "changed", "stored", "peers", 0.93),
    ("photos", "first", "stored", "peers", 1.01),
    ("source", "first", "peak_bytes", "index", 1),
    ("source", "unchanged", "peak_bytes", "index", 1),
    ("source", "changed", "peak_bytes", "index", 1),
    ("source", "restore", "peak_bytes", "index", 1),
    ("photos", "first", "peak_bytes", "index", 1),
    ("image", "changed", "peak_bytes", "index", 1),
    ("small", "first", "peak_bytes", "index", 1),
)
WORDS = {"seconds": "time", "stored": "stored size", "peak_bytes": "peak memory"}
LIMITS = {
    "stat": "bare stat on all cores",
    "work": "same primitives in a plain loop",
    "keep": "plain loop, written and synced",
}


class Measured:
    """All rows of one or several runs."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        machines = [row for row in rows if row["kind"] == "machine"]
        self.machine = machines[-1]
        self.machine["versions"] = {name: version for row in machines for name, version in row["versions"].items()}
        self.cases = {row["case"]: row for row in rows if row["kind"] == "case"}
        self.failed = [row for row in rows if row["kind"] == "failed"]
        self.rows = [row for row in rows if row["kind"] == "measured"]

    def all(self, case, peer, step, what):
        """Values of all rounds."""
        found = [row for row in self.rows if (row["case"], row["peer"], row["step"]) == (case, peer, step)]
        return [row[what] for row in found if row.get(what) is not None]

    def median(self, case, peer, step, what):
        """The median of all rounds, or nothing."""
        values = self.all(case, peer, step, what)
        return median(values) if values else None

    def best(self, case, step, what, among=None):
        """The peer with the smallest median, and that."""
        peers = {row["peer"] for row in self.rows if row["case"] == case} - {LARDER, LIMIT}
        peers = [peer for peer in sorted(peers) if among is None or peer in among]
        found = [(self.median(case, peer, step, what), peer) for peer in peers]
        found = [(value, peer) for value, peer in found if value is not None]
        return min(found) if found else (None, None)

    def steps(self, case, peer):
        """Steps of a case in the order in which they were done."""
        found = [row["step"] for row in self.rows if (row["case"], row["peer"]) == (case, peer)]
        return list(dict.fromkeys(found))


def write(path):
    """The whole table as Markdown."""
    measured = Measured(path)
    lines = [*_head(measured), *_goals(measured)]
    for case in measured.cases:
        lines += _case(measured, case)
    return "\n".join(lines) + "\n"


def _head(measured):
    machine = measured.machine
    versions = ", ".join(f"{name}: {version}" for name, version in machine["versions"].items())
    cache = "cold cache before first backup and restore" if machine["cold"] else "warm cache (only root can empty it)"
    lines = [
        "# Results",
        "",
        f"Written by `tests/bench/run.py` on {machine['date']}; medians of as many alternating rounds as the tables say, {cache}.",
        "",
        f"- machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}, {machine['file_system']}; load {machine['load']:.1f} when it began",
        f"- versions: {versions}",
    ]
    if machine["source"]:
        changed = machine["source_new"] or "changes made up by the program"
        lines.append(f"- source tree: {machine['source']}; changed to: {changed}")
    lines += [f"- left out: {name}: {why}" for name, why in machine["left_out"].items()]
    lines += [f"- failed: {row['peer']} in case {row['case']}: {row['why']}" for row in measured.failed]
    return [*lines, ""]


def _goals(measured):
    lines = [
        "Times: how many times as fast as the other. Sizes and memory: how many times as much.",
        "",
        "| case | step | what | against | wanted | measured | |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, step, what, other, wanted in GOALS:
        own = measured.median(case, LARDER, step, what)
        theirs, name = _other(measured, (case, step, what), other)
        if own is None or theirs is None:
            continue
        ratio = theirs / own if what == "seconds" else own / theirs
        is_met = ratio >= wanted if what == "seconds" else ratio <= wanted
        bound = "at least" if what == "seconds" else "at most"
        lines.append(
            f"| {case} | {step} | {WORDS[what]} | {name} | {bound} {wanted:.2f} | {ratio:.2f} | "
            f"{'met' if is_met else 'not met'} |"
        )
    return [*lines, ""]


def _other(measured, subject, other):
    case, step, what = subject
    if other in LIMITS:
        return measured.median(case, LIMIT, other, what), LIMITS[other]
    if other == "restore first":
        return measured.median(case, LARDER, other, what), "first snapshot"
    theirs, name = measured.best(case, step, what, WITH_INDEX if other == "index" else None)
    return theirs, {"peers": f"{name}, the best peer", "index": f"{name}, the best with an index"}[other]


def _case(measured, case):
    about = measured.cases[case]
    lines = [
        f"## {about['title']}: {about['files']:,} files, {about['bytes'] / 1e9:.2f} GB",
        "",
        "| step | program | rounds | s | times larder's | spread | to disk s | CPU s | CPU s per GB | peak MiB | stored MB "
        "| differ |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    peers = list(dict.fromkeys(row["peer"] for row in measured.rows if row["case"] == case))
    peers = sorted(peers, key=lambda name: (name != LARDER, name == LIMIT, name))
    for step in measured.steps(case, LARDER):
        lines += [_line(measured, case, name, step) for name in peers if name != LIMIT]
    for step in measured.steps(case, LIMIT):
        lines.append(_line(measured, case, LIMIT, step))
    return [*[line for line in lines if line is not None], ""]


def _line(measured, case, name, step):
    values = measured.all(case, name, step, "seconds")
    if not values:
        return None
    wall, own = median(values), measured.median(case, LARDER, step, "seconds")
    if name == LIMIT:
        own = measured.median(case, LARDER, "unchanged" if step == "stat" else "first", "seconds")
    cpu = measured.median(case, name, step, "cpu_seconds")
    stored = measured.median(case, name, step, "stored")
    different = measured.all(case, name, step, "different")
    fields = [
        step,
        name,
        str(len(values)),
        f"{wall:.2f}",
        f"{wall / own:.2f}" if own else "",
        f"{min(values):.2f} to {max(values):.2f}",
        f"{wall + (measured.median(case, name, step, 'sync_seconds') or 0):.2f}",
        f"{cpu:.2f}",
        f"{cpu / measured.cases[case]['bytes'] * 1e9:.1f}",
        f"{measured.median(case, name, step, 'peak_bytes') / 2**20:.0f}",
        f"{stored / 1e6:.1f}" if stored else "",
        f"{max(different)}" if different else "",
    ]
    return f"| {' | '.join(fields)} |"


if __name__ == "__main__":
    sys.stdout.write(write(sys.argv[1]))
