#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes two reStructuredText tables of what "orctool check --json" printed.

usage: compilers-table.py NAME.json...   each named COMPILER-async or -sync
"""

import json
import os
import sys
from collections import Counter


def read(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if data.get("version") != 1:
        sys.exit(f"{path}: version {data.get('version')} of the output, not 1")
    name = os.path.basename(path).removesuffix(".json")
    compiler, _, tables = name.rpartition("-")
    return compiler, tables, data


def table(rows):
    """A simple table: words aligned to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = [rule]
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if number and cell[:1].isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths)
        ]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append(rule)
    lines.append(rule)
    return "\n".join(lines)


def percent(part, whole):
    return f"{100 * part / whole:.4f} %" if whole else "none"


def overview(builds):
    rows = [("compiler", "tables", "functions", "instructions", "proved", "assumed", "not proved", "findings")]
    for compiler, tables, data in builds:
        t = data["totals"]
        rows.append((
            compiler, tables, str(t["functions"]), str(t["instructions"]),
            percent(t["proved"], t["instructions"]), str(t["assumed"]),
            str(t["unproved"]), str(t["findings"]),
        ))
    return table(rows)


def by_class(builds):
    counts = []
    for _, _, data in builds:
        count = Counter()
        for file in data["files"]:
            for finding in file["findings"]:
                count[finding["class"]] += finding["instructions"]
        counts.append(count)
    classes = sorted(set().union(*counts))
    rows = [("instructions by class", *(f"{c} {t}" for c, t, _ in builds))]
    rows += [(name, *(str(count[name]) for count in counts)) for name in classes]
    return table(rows)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    builds = [read(path) for path in sys.argv[1:]]
    print(overview(builds))
    print()
    print(by_class(builds))


main()
