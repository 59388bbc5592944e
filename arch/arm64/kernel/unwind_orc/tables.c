// SPDX-License-Identifier: GPL-2.0
/*
 * Where the tables are: one for vmlinux here, one for each text section of each
 * module in modules.c. They come sorted from the build; the kernel only finds
 * them, has the walker check them once, and remembers them as long as the text
 * lives.
 */
#define pr_fmt(fmt) "unwind_orc: " fmt

#include <linux/buildid.h>
#include <linux/init.h>
#include <linux/kprobes.h>
#include <linux/printk.h>

#include <asm/memory.h>
#include <asm/sections.h>
#include <asm/traps.h>

#include "edge.h"

static u8 vmlinux_id[BUILD_ID_SIZE_MAX] __ro_after_init;
static struct unwind_orc_region vmlinux_region __ro_after_init;

static int __init unwind_orc_init_vmlinux(void)
{
	bool has_id = !build_id_parse_buf(__start_notes, vmlinux_id,
					  __stop_notes - __start_notes);

	vmlinux_region = (struct unwind_orc_region) {
		.text = _stext,
		.text_size = _etext - _stext,
		.table = __start_orc_unwind,
		.table_size = __stop_orc_unwind - __start_orc_unwind,
		.build_id = has_id ? vmlinux_id : NULL,
		/* See _etext in vmlinux.lds.S. */
		.padding = SEGMENT_ALIGN - 1,
	};
	return 0;
}
early_initcall(unwind_orc_init_vmlinux);

/* Have a walker check one table, and say what is wrong with it. */
bool unwind_orc_accept(const struct unwind_orc_ops *ops, const char *name,
		       const struct unwind_orc_region *region)
{
	char why[UNWIND_ORC_NAME_LEN * 2] = "";
	int err = ops->check(region, why, sizeof(why));

	if (err)
		pr_warn("%s: table for %u bytes of text not used: %s (%d)\n",
			name, region->text_size, why, err);
	return !err;
}

/*
 * Have a new walker check every table there is. Called with unwind_orc_lock
 * held and without a walker that could be looking on.
 *
 * Return: 0, or -EINVAL if vmlinux's own table is no good: without that one
 * no walk can succeed.
 */
int unwind_orc_accept_all(const struct unwind_orc_ops *ops)
{
	if (!unwind_orc_accept(ops, "vmlinux", &vmlinux_region))
		return -EINVAL;
	unwind_orc_accept_modules(ops);
	return 0;
}

/**
 * unwind_orc_find() - the text section a PC lies in, and its table
 * @pc:         any value
 * @region:     set for UNWIND_ORC_FOUND, as long-lived as the text
 * @frame_size: filled in for UNWIND_ORC_BPF_BODY and UNWIND_ORC_BPF_TRAMPOLINE
 *
 * To be called under RCU, which keeps module, text and table in place.
 */
enum unwind_orc_lookup unwind_orc_find(unsigned long pc,
				       const struct unwind_orc_region **region,
				       u32 *frame_size)
{
	enum unwind_orc_lookup found;

	if (pc - (unsigned long)vmlinux_region.text < vmlinux_region.text_size) {
		*region = &vmlinux_region;
		return UNWIND_ORC_FOUND;
	}
	if (is_kernel_inittext(pc))
		return UNWIND_ORC_INIT_TEXT;
	found = unwind_orc_find_module(pc, region);
	if (found != UNWIND_ORC_NOT_TEXT)
		return found;
	return unwind_orc_find_bpf(pc, frame_size);
}
EXPORT_SYMBOL_GPL(unwind_orc_find);
NOKPROBE_SYMBOL(unwind_orc_find);

/**
 * unwind_orc_is_entry_text() - is this PC in .entry.text?
 * @pc: any value
 *
 * But for the idle task of the boot CPU, only from there is C called with struct
 * pt_regs at SP.
 */
bool unwind_orc_is_entry_text(unsigned long pc)
{
	return in_entry_text(pc);
}
EXPORT_SYMBOL_GPL(unwind_orc_is_entry_text);
NOKPROBE_SYMBOL(unwind_orc_is_entry_text);

/**
 * unwind_orc_count() - count in a walk
 * @counter: of the walker's
 * @n:       how much it goes up
 *
 * Here, because the helpers for atomics in Rust can be traced and probed.
 */
void unwind_orc_count(atomic64_t *counter, u64 n)
{
	atomic64_add(n, counter);
}
EXPORT_SYMBOL_GPL(unwind_orc_count);
NOKPROBE_SYMBOL(unwind_orc_count);
