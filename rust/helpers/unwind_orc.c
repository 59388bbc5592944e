// SPDX-License-Identifier: GPL-2.0

#include <linux/kprobes.h>

__rust_helper bool rust_helper_is_kretprobe_trampoline(unsigned long addr)
{
	return is_kretprobe_trampoline(addr);
}
