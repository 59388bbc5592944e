#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Counts a log in which everything that can go wrong goes wrong, and compares
# with what must come out: a counter that overlooks failures is worse than none.

set -eu
cd "$(dirname "$0")"
awk -f ../ktap.awk ktap.in | diff -u ktap.expected -
