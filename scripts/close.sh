#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# close.sh FILE: the closing line over the results in FILE.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/results.sh"
RESULTS=$1
results_close
