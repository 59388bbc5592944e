/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TEST_ORC_CASES_H
#define TEST_ORC_CASES_H

/* In assembly: a direct call's trampoline, and what it calls. */
extern const char direct_tramp[];
void direct_sleep(void);

#endif /* TEST_ORC_CASES_H */
