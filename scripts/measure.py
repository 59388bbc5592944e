#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""measure.py RUNS FILE COMMAND...: runs a command several times, its output
discarded, and writes what the fastest run took to FILE, by the kernel's own
accounting: seconds, seconds of CPU, and the peak memory of any run in MiB.
Ends with the command's exit status."""

import resource
import subprocess
import sys
import time

runs, out, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
best = None
for _ in range(runs):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    best = min(best or (seconds, cpu), (seconds, cpu))
with open(out, "w", encoding="ascii") as file:
    print(f"{best[0]:.2f} {best[1]:.2f} {used.ru_maxrss / 1024:.0f}", file=file)
sys.exit(status)
