#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What "make" can do.

cat <<'EOF'
make run            the demonstration: livepatch beside CPU-bound kernel threads,
                    without the ORC walker and with it, in a QEMU arm64 guest
make test           every test, on this machine and in the guest
make test-debug our tests in a kernel with KASAN, KCOV, UBSAN, lockdep and a shadow call
                    stack that is patched in at boot (half an hour more)
make test-trampolines   BPF programs attached to functions, in a kernel with BTF
make doctor         says what is missing on this machine; changes nothing
make setup          installs and fetches what is missing (run and test do it too)
make kernel         the patched kernel: build/linux-7.3, build/kernel-7.3
make check          lints: rustfmt, clippy, checkpatch, patches, panic symbols
make check-compilers   the kernel by several compilers (clang-19, gcc-12, gcc-14;
                    COMPILERS="..."), with and without asynchronous unwind
                    tables (TABLES="async sync"), and what orctool finds in each
make check-distro   proves every row of a distribution's kernel (Debian's arm64 cloud
                    kernel, or VMLINUX=FILE), and says what was found and what it took
make check-sancov   the rows against the control flow that LLVM lists, on objects of
                    the kernel compiled once more (OBJECTS="a.o b.o": on these)
make oracle         a guest runs, and at each instruction of its kernel the walk is
                    judged by what was executed (ORACLE_MINUTES=10)
make fuzz           fuzzes the walk, the tables and what orctool reads, ten minutes
                    each (FUZZ_SECONDS=600 FUZZ_TARGETS="walk elf")
make bench          the figures in README.md
make inject         fault injection: changes words of real stacks in the guest, and
                    counts what the walks of them find (INJECT_CHANGES=1000000)
make install-tree KERNEL=DIR   copies the files into your 7.3 tree and applies
                    the patches (the one target that changes DIR)
make series         build/series: the same as mails that git am takes
make clean          removes build/ (what was downloaded stays, in the user's cache)

Options:
KERNEL=DIR          build from your own 7.3 tree; it is copied, never changed
LLVM=-19            which clang: a suffix, a directory with a slash, or 1
CROSS_COMPILE=aarch64-linux-gnu-   build the kernel with GCC instead
JOBS=N              parallel jobs (all CPUs)

Logs are in build/log/. Downloads and ccache are in ${XDG_CACHE_HOME:-~/.cache}.
EOF
