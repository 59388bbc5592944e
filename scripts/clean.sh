#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Removes everything that was built. Downloads in the user's cache stay.

. "$(dirname "$0")/lib.sh"
rm -rf "$BUILD"
