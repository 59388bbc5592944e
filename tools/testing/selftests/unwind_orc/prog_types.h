/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROG_TYPES_H
#define PROG_TYPES_H

#include <stdbool.h>

/*
 * Loads types for "int traced(void *)" and "int callback(__u64)", as a program has to
 * have that is traced or has a callback; with @throws they say that the latter is called
 * when the former throws an exception.
 *
 * Return: the file descriptor of the types.
 */
int load_prog_types(bool throws);

/* What the functions are in them */
#define TRACED_TYPE_ID		4
#define CALLBACK_TYPE_ID	7

#endif /* PROG_TYPES_H */
