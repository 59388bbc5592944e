// SPDX-License-Identifier: GPL-2.0
/*
 * A livepatch of a function that no hog calls: whether the transition ends
 * depends on the stacks alone.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static int patched_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s: patched\n", THIS_MODULE->name);
	return 0;
}

static struct klp_func funcs[] = {
	{
		.old_name = "cmdline_proc_show",
		.new_func = patched_cmdline_proc_show,
	}, { }
};

static struct klp_object objs[] = {
	{
		.funcs = funcs,		/* no name: vmlinux */
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int __init test_orc_livepatch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit test_orc_livepatch_exit(void)
{
}

module_init(test_orc_livepatch_init);
module_exit(test_orc_livepatch_exit);
MODULE_DESCRIPTION("Livepatch for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
