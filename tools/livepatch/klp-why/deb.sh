#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Makes a Debian package of one architecture from what static.sh made:
# deb.sh OUT [amd64|arm64]. Needs dpkg-deb, and a klp-why that runs here for the
# manual page and the completions.

set -euo pipefail
crate=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: deb.sh OUT [amd64|arm64]}
arch=${2:-$(dpkg --print-architecture)}
native=$out/klp-why-$(uname -m)

case $arch in
amd64) program=$out/klp-why-x86_64 ;;
arm64) program=$out/klp-why-aarch64 ;;
*) echo "deb.sh: no $arch" >&2 && exit 2 ;;
esac
for f in "$native" "$program"; do
	[ -x "$f" ] || { echo "deb.sh: $f is missing: run static.sh $out" >&2 && exit 2; }
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$crate/Cargo.toml" | head -n 1)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
install -D -m 755 "$program" "$root/usr/sbin/klp-why"
mkdir -p "$root/usr/share/man/man8" "$root/usr/share/doc/klp-why" "$root/DEBIAN" \
	"$root/usr/share/bash-completion/completions" \
	"$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$native" --man | gzip -9n >"$root/usr/share/man/man8/klp-why.8.gz"
"$native" --completions bash >"$root/usr/share/bash-completion/completions/klp-why"
"$native" --completions zsh >"$root/usr/share/zsh/vendor-completions/_klp-why"
"$native" --completions fish >"$root/usr/share/fish/vendor_completions.d/klp-why.fish"
cp "$crate/README.md" "$root/usr/share/doc/klp-why/"
cat >"$root/usr/share/doc/klp-why/copyright" <<-END
	Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
	Files: *
	Copyright: the klp-why authors
	License: GPL-2 or Expat
END
cat >"$root/DEBIAN/control" <<-END
	Package: klp-why
	Version: $version
	Architecture: $arch
	Maintainer: $(git -C "$crate" log -1 --format='%an <%ae>')
	Section: admin
	Priority: optional
	Installed-Size: $(du -sk "$root" | cut -f1)
	Description: says what a live patch of the kernel waits for
	 A live patch is in transition until every task has switched to the new code.
	 This program says which tasks have not, what holds each up, and what has to
	 happen before it switches. One static program, for any kernel with livepatch.
END
deb=$out/klp-why_${version}_$arch.deb
SOURCE_DATE_EPOCH=$(git -C "$crate" log -1 --format=%ct) \
	dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
echo "$deb"
