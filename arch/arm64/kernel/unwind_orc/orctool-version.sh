#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Usage: $ ./orctool-version.sh orctool
#
# Prints orctool's version as a number, 10203 for 1.2.3, and 0 if there is none.

version=$("$@" --version 2>/dev/null |
	  sed -n -E 's/^orctool ([0-9]+)\.([0-9]+)\.([0-9]+).*$/\1 \2 \3/p')
if [ -z "$version" ]; then
	echo 0
	exit 1
fi

# shellcheck disable=SC2086
set -- $version
echo $(($1 * 10000 + $2 * 100 + $3))
