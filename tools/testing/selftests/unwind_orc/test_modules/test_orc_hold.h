/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TEST_ORC_HOLD_H
#define TEST_ORC_HOLD_H

/* In assembly: a direct call's trampoline, entered as ftrace_caller() does it. */
extern const char test_orc_hold_direct[];

#endif /* TEST_ORC_HOLD_H */
