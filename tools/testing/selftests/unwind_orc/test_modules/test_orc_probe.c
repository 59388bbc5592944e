// SPDX-License-Identifier: GPL-2.0
/*
 * Whether a function can be probed: it can, if its name can be written to the
 * parameter. (The files in tracefs offer only functions that can be traced.)
 */
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static int probe_set(const char *value, const struct kernel_param *param)
{
	char *name __free(kfree) = kstrdup(value, GFP_KERNEL);
	/* Parameters are set one at a time. */
	static struct kprobe probe;
	int err;

	if (!name)
		return -ENOMEM;
	memset(&probe, 0, sizeof(probe));
	probe.symbol_name = strim(name);
	err = register_kprobe(&probe);
	if (!err)
		unregister_kprobe(&probe);
	return err;
}

static const struct kernel_param_ops probe_ops = {
	.set = probe_set,
};
module_param_cb(function, &probe_ops, NULL, 0200);
MODULE_PARM_DESC(function, "to be probed for a moment");

MODULE_DESCRIPTION("Probes functions, if they can be probed");
MODULE_LICENSE("GPL");
