// SPDX-License-Identifier: GPL-2.0
/*
 * A second module for a stack to go through, with tables of its own.
 */
#include <linux/kernel.h>
#include <linux/module.h>

#include "test_orc_relay.h"

noinline void test_orc_relay(void (*fn)(void *arg), void *arg,
			     struct test_orc_notes *notes)
{
	test_orc_note(notes);
	fn(arg);
	/* Not a tail call: the frame has to stay. */
	barrier();
}
EXPORT_SYMBOL_GPL(test_orc_relay);

MODULE_DESCRIPTION("A module in the middle of the stacks of test_orc_chain");
MODULE_LICENSE("GPL");
