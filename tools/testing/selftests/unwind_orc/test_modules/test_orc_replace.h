/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A live patch of test_orc_redirect's function that replaces all other patches.
 * Two modules are made of it, so that one can take the place of the other, which
 * is then unloaded.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "test_orc_redirect.h"

static noinline unsigned long orc_replacement(unsigned long x)
{
	struct test_orc_redirect_calls *calls = &test_orc_redirect_calls;

	if (READ_ONCE(current->patch_state) == KLP_TRANSITION_UNPATCHED)
		WRITE_ONCE(calls->wrong, READ_ONCE(calls->wrong) + 1);
	WRITE_ONCE(calls->new, READ_ONCE(calls->new) + 1);
	return x + 2;
}

static struct klp_func funcs[] = {
	{
		.old_name = "orc_redirected",
		.new_func = orc_replacement,
	}, { }
};

static struct klp_object objs[] = {
	{
		.name = "test_orc_redirect",
		.funcs = funcs,
	}, { }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
	.replace = true,
};

static int __init test_orc_replace_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit test_orc_replace_exit(void)
{
}

module_init(test_orc_replace_init);
module_exit(test_orc_replace_exit);
MODULE_DESCRIPTION("Livepatch that replaces another, for the tests of the ORC unwinder");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
