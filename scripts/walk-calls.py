#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""walk-calls.py OBJDUMP KERNEL_OUT LIMIT: what a reliable walk calls, and its stack.

Follows the calls from arch_stack_walk_reliable() through the objects of the unwinder,
and on into vmlinux. Prints the deepest chain with the bytes of each frame, and fails
if it takes more than LIMIT bytes, or if a function of the unwinder that is called can
be probed (it is neither in .noinstr.text nor on the list that NOKPROBE_SYMBOL makes).
"""
import re
import subprocess
import sys

START = "arch_stack_walk_reliable"
# What stands for calls through pointers.
INDIRECT = {"unwind_orc_walk": re.compile(r"registration4walk.*OrcWalker")}
# Not part of a walk: the unwinder that answers in its place, what is done once it has
# found a stack unreliable and somebody traces that, and what warns of a broken kernel.
LEFT_OUT = re.compile(
    r"arch_stack_walk_conservative|report_unreliable|put_task_stack|rcu_read_unlock_special|"
    r"refcount_warn_saturate|__warn|_printk|lockdep|alt_cb_patch_nops|preempt_schedule|panic")
HEAD = re.compile(r"^[0-9a-f]+ <(.+)>:$")
SECTION = re.compile(r"^Disassembly of section (\S+):$")
FRAME = re.compile(r"sub\s+sp, sp, #(0x[0-9a-f]+|\d+)(, lsl #12)?|\[sp, #-(0x[0-9a-f]+|\d+)\]!")
RELOCATION = re.compile(r"R_AARCH64_(?:CALL|JUMP)26\s+(\S+?)(?:\+0x[0-9a-f]+)?$")
BRANCH = re.compile(r"\s(?:bl|b)\s+0x[0-9a-f]+ <([^+>]+)>$")


class Function:
    def __init__(self, section):
        self.section = section
        self.frame = 0
        self.calls = set()


def disassemble(objdump, path, *options):
    """All functions of a file, by name."""
    out = subprocess.run([objdump, "-dr", "--no-show-raw-insn", *options, path],
                         capture_output=True, text=True, check=True).stdout
    functions, function, section = {}, None, ""
    for line in out.splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif found := HEAD.match(line):
            function = functions.setdefault(found[1], Function(section))
        elif function is None:
            continue
        elif found := RELOCATION.search(line) or BRANCH.search(line):
            function.calls.add(found[1])
        elif found := FRAME.search(line):
            size = int(found[1] or found[3], 0)
            function.frame += size << 12 if found[2] else size
    return functions


def unprobed(objdump, path):
    """Names in the section that NOKPROBE_SYMBOL fills."""
    out = subprocess.run([objdump, "-r", path], capture_output=True, text=True,
                         check=False).stdout
    records = out.partition("[_kprobe_blacklist]:")[2].partition("\n\n")[0]
    return set(re.findall(r"R_AARCH64_ABS64\s+(\S+)", records))


class Walk:
    def __init__(self, objdump, out):
        self.objdump, self.vmlinux = objdump, f"{out}/vmlinux.unstripped"
        self.own, self.blacklist, self.deepest_of = {}, set(), {}
        base = f"{out}/arch/arm64/kernel"
        names = "walk tables modules recover task bpf walker orc scs pac".split()
        for path in [f"{base}/stacktrace.o", *(f"{base}/unwind_orc/{n}.o" for n in names)]:
            try:
                self.own |= disassemble(objdump, path)
            except subprocess.CalledProcessError:
                continue
            self.blacklist |= unprobed(objdump, path)
        self.other = {}

    def function(self, name):
        if name in self.own:
            return self.own[name]
        if name not in self.other:
            found = disassemble(self.objdump, self.vmlinux, f"--disassemble-symbols={name}")
            self.other[name] = found.get(name, Function("?"))
        return self.other[name]

    def callees(self, name):
        calls = {c for c in self.function(name).calls if c != name and not LEFT_OUT.search(c)}
        if name in INDIRECT:
            calls |= {n for n in self.own if INDIRECT[name].search(n)}
        return calls

    def deepest(self, name, above=()):
        """Bytes from here down, and the chain."""
        if name in above:
            sys.exit(f"{name} calls itself by way of {above}")
        if name not in self.deepest_of:
            below = [self.deepest(c, (*above, name)) for c in sorted(self.callees(name))]
            size, chain = max(below, default=(0, []))
            frame = self.function(name).frame
            self.deepest_of[name] = (size + frame, [(name, frame), *chain])
        return self.deepest_of[name]

    def probed(self):
        reached = [n for n in self.deepest_of if n in self.own]
        return sorted(n for n in reached if n not in self.blacklist and
                      self.own[n].section not in (".noinstr.text", ".entry.text") and
                      # walker.o and orc.o are moved whole.
                      not n.startswith("_R"))


def main():
    objdump, out, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
    walk = Walk(objdump, out)
    size, chain = walk.deepest(START)
    for name, frame in chain:
        print(f"{frame:6} {name}")
    print(f"{size:6} bytes of stack, {limit} allowed; {len(walk.deepest_of)} functions")
    probed = walk.probed()
    for name in probed:
        print(f"can be probed: {name}")
    others = sorted(set(walk.deepest_of) - set(walk.own))
    print("of the kernel's own:", " ".join(others))
    return size > limit or bool(probed)


if __name__ == "__main__":
    sys.exit(main())
