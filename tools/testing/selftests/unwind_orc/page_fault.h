/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PAGE_FAULT_H
#define PAGE_FAULT_H

/*
 * Has another thread make a call that reads a page which userfaultfd serves,
 * and serves it only when told to: prints the thread's TID once the fault is
 * pending, and lets it go on when a line comes in.
 *
 * @call gets the page, whose bytes turn out to be 0, and returns 0 if all is
 * well. Return: an exit status; 4 if there is no userfaultfd here.
 */
int sleep_in_page_fault(long (*call)(void *page));

#endif /* PAGE_FAULT_H */
