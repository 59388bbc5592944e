#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
The counts of test-inject.sh (INJECT_REPORT=1) as tables: by kind of word and change
what the ORC walker and the stock rules did, why the walker refused, and what the
calls before return addresses tell.

inject-table.py [--rst] LOG
"""

import collections
import sys

# Sums of the table: a name, and the first words of the kinds of words in it.
GROUPS = {
    "return address": ("return address",),
    "saved x29": ("saved x29",),
    "other saved registers": ("pt_regs", "ftrace_regs", "metadata"),
    "other words": ("locals",),
    "any word in use": ("any word",),
    "one word of the stack": ("return address", "saved x29", "pt_regs", "ftrace_regs",
                              "metadata", "locals", "any word"),
    "where the walk starts": ("cpu_context",),
    "two words: a record copied": ("frame record",),
    "up to 64 words": ("region",),
}


class Tally:
    """Outcomes of one walker."""

    def __init__(self, fields=(0, 0, 0, 0, 0)):
        self.changes, self.refused, self.moved, self.wrong, self.lost = map(int, fields)

    def add(self, other):
        self.changes += other.changes
        self.refused += other.refused
        self.moved += other.moved
        self.wrong += other.wrong
        self.lost += other.lost

    def words(self):
        harmless = self.changes - self.refused - self.moved - self.wrong
        share = f"{100 * self.wrong / self.changes:.3f}" if self.changes else "-"
        return [f"{n:,}" for n in (self.changes, self.refused, harmless, self.moved, self.wrong)] + [share]


class Cell:
    """One kind of change."""

    def __init__(self, fields=None):
        fields = fields or [0] * 15
        self.ours, self.stock = Tally(fields[0:5]), Tally(fields[5:10])
        self.calls = [int(n) for n in fields[10:14]]
        self.random_offset = int(fields[14])

    def add(self, other):
        self.ours.add(other.ours)
        self.stock.add(other.stock)
        self.calls = [a + b for a, b in zip(self.calls, other.calls)]
        self.random_offset += other.random_offset


def read(path):
    """The lines of the report, by file: each a list of fields."""
    report = collections.defaultdict(list)
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            fields = line.rstrip("\r\n").split("\t")
            if fields[0] in ("cells", "reasons", "calls", "stacks"):
                report[fields[0]].append(fields[1:])
    return report


def print_text(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(word.ljust(w) if i < 2 else word.rjust(w)
                        for i, (word, w) in enumerate(zip(row, widths))).rstrip())
    print()


def print_rst(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = "  ".join("=" * w for w in widths)
    for row in [None, head, None, *rows, None]:
        print(rule if row is None else
              "  ".join(word.ljust(w) for word, w in zip(row, widths)).rstrip())
    print()


def sum_of(cells, accept):
    total = Cell()
    for (word, _), cell in cells.items():
        if accept(word):
            total.add(cell)
    return total


def sums(cells):
    return {name: sum_of(cells, lambda word, kinds=kinds: word.startswith(kinds))
            for name, kinds in GROUPS.items()}


def outcome_rows(cells):
    rows = []
    for (word, how), cell in cells.items():
        rows.append([word, how] + cell.ours.words() + cell.stock.words())
    return rows


def sum_rows(cells):
    return [[name, ""] + cell.ours.words() + cell.stock.words()
            for name, cell in sums(cells).items()]


def unseen_rows(cells):
    rows = []
    for (word, how), cell in cells.items():
        if cell.ours.wrong:
            rows.append([word, how, str(cell.ours.wrong), str(cell.ours.lost)] +
                        [str(n) for n in cell.calls] + [str(cell.random_offset)])
    return rows


def main():
    arguments = [word for word in sys.argv[1:] if word != "--rst"]
    show = print_rst if "--rst" in sys.argv else print_text
    if len(arguments) != 1:
        sys.exit(__doc__)
    report = read(arguments[0])
    cells = {(f[1], f[2]): Cell(f[3:]) for f in report["cells"] if f[0] == "cell"}
    if not cells:
        sys.exit(f"no counts in {arguments[0]}")

    outcome = ["refused", "harmless", "moved", "unseen", "%"]
    show(["all of", "", "changes"] + outcome + ["stock"] + outcome, sum_rows(cells))
    show(["word", "becomes", "changes"] + outcome + ["stock"] + outcome, outcome_rows(cells))
    unseen = unseen_rows(cells)
    if unseen:
        show(["word", "becomes", "unseen", "function lost", "no call", "indirect", "callee",
              "other callee", "random offset"], unseen)
    show(["word", "reason", "refused"], [f[1:4] for f in report["reasons"] if f[0] == "reason"])
    show(["unchanged stacks refused", "at", "seen"],
         [f[1:4] for f in report["reasons"] if f[0] == "unchanged"])
    show(["calls on true stacks", "distinct", "seen"],
         [f[1:4] for f in report["calls"] if f[0] == "calls"])
    show(["call", "of the function", "inner frame", "seen"],
         [f[1:5] for f in report["calls"] if f[0] == "pair"])
    for line in report["stacks"]:
        print(*line)


if __name__ == "__main__":
    main()
