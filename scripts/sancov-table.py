#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# A table of what orctool check --json says of objects with a list of their
# control flow. Exit status 1 when a row and an edge do not agree, a list is
# malformed, or an object has none.

import json
import sys

COLUMNS = ("functions", "blocks", "edges", "direct", "indirect", "branches",
           "by claim", "with edges", "findings")


def figures(flow):
    return (flow["functions"], flow["blocks"], flow["edges"],
            flow["edges_by_kind"]["direct"], flow["edges_by_kind"]["indirect"],
            flow["indirect_branches"], flow["entered_by_claim"]["without_edges"],
            flow["entered_by_claim"]["with_edges"],
            len(flow["disagreements"]) + len(flow["malformed"]))


def line(name, cells):
    print(f"{name:<44}" + "".join(f"{cell:>11}" for cell in cells))


def main():
    with open(sys.argv[1], encoding="utf-8") as report:
        files = json.load(report)["files"]
    total = [0] * len(COLUMNS)
    kinds = {}
    failed = False
    line("object", COLUMNS)
    for file in files:
        flow = file["control_flow"]
        if flow is None:
            line(file["file"], ["no list"])
            failed = True
            continue
        row = figures(flow)
        line(file["file"], row)
        total = [sum(pair) for pair in zip(total, row)]
        for kind, count in flow["edges_by_kind"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    line(f"{len(files)} objects", total)
    print("edges:", ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    sys.exit(1 if failed or total[-1] else 0)


main()
