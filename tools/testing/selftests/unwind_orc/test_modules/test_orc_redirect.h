/* SPDX-License-Identifier: GPL-2.0 */
/* What test_orc_redirect.c and the live patches of its function share. */
#ifndef TEST_ORC_REDIRECT_H
#define TEST_ORC_REDIRECT_H

/**
 * struct test_orc_redirect_calls - who was called how often
 * @old:   the function as it is
 * @new:   what replaces it
 * @wrong: the latter, by tasks in the state KLP_TRANSITION_UNPATCHED
 *
 * Not exact: they are counted without a lock.
 */
struct test_orc_redirect_calls {
	unsigned long old;
	unsigned long new;
	unsigned long wrong;
};

extern struct test_orc_redirect_calls test_orc_redirect_calls;

unsigned long orc_redirected(unsigned long x);

#endif /* TEST_ORC_REDIRECT_H */
