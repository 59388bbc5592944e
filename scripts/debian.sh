# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What this machine is, as far as packages go, and a private apt to fetch
# packages with that leaves the system's own lists and status alone.
# Sourced after lib.sh.

# bookworm, trixie, or nothing when this is another system.
debian_codename() {
	[ -r /etc/os-release ] || return 0
	(
		# shellcheck disable=SC1091
		. /etc/os-release
		[ "${ID:-}" != debian ] || echo "${VERSION_CODENAME:-}"
	)
}

# The address of the Debian mirror that the machine's own sources name.
debian_mirror() {
	have apt-get || return 0
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
		awk '$3 == "main" && $2 !~ /-/ && $2 ~ /^(bookworm|trixie|forky|sid|stable|testing|unstable|oldstable)$/ { print $1; exit }'
}

debian_keyring() {
	local f
	for f in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
		[ -r "$f" ] && echo "$f" && return
	done
	die "no Debian archive keyring: install the package debian-archive-keyring"
}

# private_apt_setup DIR ARCH SUITE... : lists, cache and status of its own.
private_apt_setup() {
	local dir=$1 arch=$2 mirror keyring suite
	shift 2
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources; give KERNEL=DIR, or add one"
	keyring=$(debian_keyring)
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	for suite in "$@"; do
		echo "deb [arch=$arch signed-by=$keyring] $mirror $suite main"
	done >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-EOF
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
		#clear Acquire::IndexTargets::deb::DEP-11;
		APT::Architecture "$arch";
		#clear APT::Architectures;
		APT::Architectures { "$arch"; };
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Acquire::http::Timeout "30";
		Dir::State::lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::State::extended_states "$dir/extended_states";
		Dir::Cache "$dir/cache";
		Dir::Log "$dir/log";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
	EOF
}

private_apt() { # DIR apt-get arguments...
	local dir=$1
	shift
	apt-get -q -y -c "$dir/apt.conf" "$@"
}

# fetch_package DIR ARCH WHAT LOG PATTERN SUITE... downloads the newest package
# whose whole name matches PATTERN from the first suite that has one, into DIR.
# When it can't, the array "tried" says why, suite by suite.
fetch_package() {
	local dir=$1 arch=$2 what=$3 log=$4 pattern=$5 suite name
	shift 5
	have apt-get || { tried+=("Debian packages: no apt-get on this machine") && return 1; }
	[ -n "$(debian_mirror)" ] || { tried+=("Debian packages: no Debian mirror in apt's sources") && return 1; }
	for suite in "$@"; do
		private_apt_setup "$dir/apt" "$arch" "$suite"
		if ! STEP_MAY_FAIL=1 step "$what: looking in $suite" "$log-lists" \
			private_apt "$dir/apt" update; then
			tried+=("$suite: its package list could not be fetched ($LOG_DIR/$log-lists.log)")
			continue
		fi
		name=$(apt-cache -c "$dir/apt/apt.conf" pkgnames | grep -xE "$pattern" | sort -V | tail -n 1) || true
		[ -n "$name" ] || { tried+=("$suite: has no $pattern") && continue; }
		download_package "$dir" "$what" "$log" "$suite" "$name" && return 0
		tried+=("$suite: download of $name failed ($LOG_DIR/$log.log)")
	done
	return 1
}

download_package() { # DIR WHAT LOG SUITE NAME
	local size
	size=$(apt-cache -c "$1/apt/apt.conf" show --no-all-versions "$5" |
		awk '$1 == "Size:" { printf "%d", $2 / 1048576; exit }')
	rm -f "$1"/*.deb
	(cd "$1" && STEP_MAY_FAIL=1 step "$2: $5 from $4, $size MiB" "$3" private_apt "$1/apt" download "$5")
}

# fetch_tree DIR LOG WHAT PACKAGE SUITE...: the package with all that it depends on, the
# C library included, from the first suite that has it, unpacked below DIR.
fetch_tree() {
	local dir=$1 log=$2 what=$3 package=$4 suite
	shift 4
	for suite in "$@"; do
		private_apt_setup "$dir/apt" amd64 "$suite"
		if STEP_MAY_FAIL=1 step "$what: looking in $suite" "$log" download_tree "$dir" "$package"; then
			step "$what: unpacking" "$log-unpack" unpack_tree "$dir"
			return
		fi
	done
	die "no suite of $* has $package ($LOG_DIR/$log.log)"
}

download_tree() { # DIR PACKAGE
	private_apt "$1/apt" update && private_apt "$1/apt" install --download-only "$2"
}

unpack_tree() { # DIR
	local d deb
	for d in bin lib lib64 sbin; do
		mkdir -p "$1/usr/$d"
		ln -sfn "usr/$d" "$1/$d"
	done
	for deb in "$1"/apt/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$1" || return
	done
	rm -rf "$1/apt"
}
