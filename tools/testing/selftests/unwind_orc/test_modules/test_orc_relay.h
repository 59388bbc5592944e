/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TEST_ORC_RELAY_H
#define TEST_ORC_RELAY_H

/**
 * struct test_orc_notes - return addresses, as the functions themselves see them
 * @open:	take further notes
 * @nr:		number of notes
 * @ra:		outermost first
 */
struct test_orc_notes {
	bool open;
	unsigned int nr;
	unsigned long ra[8];
};

/* To be used at the start of a function that is not inlined. */
#define test_orc_note(notes) \
	__test_orc_note(notes, (unsigned long)__builtin_return_address(0))

static inline void __test_orc_note(struct test_orc_notes *notes, unsigned long ra)
{
	if (notes->open && notes->nr < ARRAY_SIZE(notes->ra))
		notes->ra[notes->nr++] = ra;
}

/* Calls @fn from a function of another module. */
void test_orc_relay(void (*fn)(void *arg), void *arg, struct test_orc_notes *notes);

#endif /* TEST_ORC_RELAY_H */
