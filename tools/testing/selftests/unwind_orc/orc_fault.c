// SPDX-License-Identifier: GPL-2.0
/*
 * A system call whose copy_from_user() faults and sleeps until told to go on;
 * see page_fault.h.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "page_fault.h"

/* A page of zeroes is no time at all, so it returns once the page is there. */
static long take_a_nap(void *page)
{
	return syscall(SYS_nanosleep, page, NULL);
}

int main(void)
{
	return sleep_in_page_fault(take_a_nap);
}
