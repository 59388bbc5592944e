// SPDX-License-Identifier: GPL-2.0
/*
 * A second module for a stack to go through, with tables of its own: two, as it has
 * two text sections.
 */
#include <linux/kernel.h>
#include <linux/module.h>

#include "test_orc_relay.h"

static noinline __section(".text_relay") void
relay_in_another_section(void (*fn)(void *arg), void *arg,
			 struct test_orc_notes *notes)
{
	test_orc_note(notes);
	fn(arg);
	/* Not a tail call: the frame has to stay. */
	barrier();
}

noinline void test_orc_relay(void (*fn)(void *arg), void *arg,
			     struct test_orc_notes *notes)
{
	test_orc_note(notes);
	relay_in_another_section(fn, arg, notes);
	barrier();
}
EXPORT_SYMBOL_GPL(test_orc_relay);

MODULE_DESCRIPTION("A module in the middle of the stacks of test_orc_chain");
MODULE_LICENSE("GPL");
