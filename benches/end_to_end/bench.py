"""The end-to-end bench; scripts/bench installs what it needs and starts it."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import envoy
import memory
import report
from machine import REPOSITORY, cores, description, free_port, say
from state import State
from tables import all_tables, bars, ideas_table
from variants import Variants

MEMORY = "memory"


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="CPU, throughput, latency and memory, end to end.")
    parser.add_argument("--quick", action="store_true", help="3 rounds of a part of the variants; not for the report")
    parser.add_argument("--rounds", type=int, help="9 unless told")
    parser.add_argument("--haproxy", default="haproxy", help="the program to measure, e.g. target/haproxy/3.2/haproxy")
    parser.add_argument("--only", default="", help="tables or variants, with commas between; see --list, and `ideas`")
    parser.add_argument("--list", action="store_true", help="print the names for --only and end")
    parser.add_argument("--write", action="store_true", help="put the tables into benches/REPORT.md")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--modules", type=Path, default=REPOSITORY / "target/modules", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 9)
    given.haproxy = shutil.which(given.haproxy) or sys.exit(f"no such program: {given.haproxy}")
    if given.write and (given.rounds < 9 or given.only):
        parser.error("--write needs everything in at least 9 rounds: without --quick and --only")
    return given


def chosen(tables, only):
    """The tables and variants that --only names; all of them if it names none."""
    wanted = {name.strip() for name in only.split(",") if name.strip()}
    known = {MEMORY} | {t.name for t in tables} | {v.name for t in tables for v in t.variants}
    if wanted - known:
        sys.exit(f"--only: not known: {', '.join(sorted(wanted - known))}; see --list")
    if not wanted:
        return tables, True
    kept = []
    for table in tables:
        if table.name not in wanted:
            if not any(variant.name in wanted for variant in table.variants):
                continue
            table.keep(wanted)
        kept.append(table)
    return kept, MEMORY in wanted


def show_names(tables):
    for table in tables:
        print(table.name)
        for variant in table.variants:
            print(f"    {variant.name}")
    print(MEMORY)


def main():
    given = arguments()
    # In memory: neither the log nor the sockets should wait for a disk.
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="suiftly-bench-", dir=parent) as folder:
        folder = Path(folder)
        say("making keys, tables and configurations")
        (folder / "state").mkdir()
        make = Variants(given.haproxy, State(folder / "state", given.modules), free_port())
        tables = all_tables(make, given.quick)
        # Only when asked for: what was taken over into haproxy.cfg is no idea any more and could not be made.
        if "ideas" in given.only.split(","):
            tables.append(ideas_table(make))
        tables, with_memory = chosen(tables, given.only)
        if given.list:
            return show_names(tables)
        backend_folder = folder / "backend"
        backend_folder.mkdir()
        with make.backend().start(backend_folder):
            for table in tables:
                table.run(given.rounds, folder)
            figures = memory.measure(given.haproxy, given.modules, make.backend_port, parent) if with_memory else {}
    facts = {**description(given.haproxy, envoy.program()), "Cores": "measured %d, client and backend %d" % cores()}
    judged = bars(tables, figures)
    if given.json:
        print(json.dumps({"facts": facts, "rounds": given.rounds, "tables": {t.name: list(t.rows()) for t in tables},
                          "bars": [dict(zip(("what", "measured", "at_most"), bar)) for bar in judged],
                          "memory": figures}, indent=1))
    else:
        print(report.markdown(facts, given.rounds, tables, judged, figures))
    if given.write:
        report.write_section(report.markdown(facts, given.rounds, tables, judged, figures))


if __name__ == "__main__":
    main()
