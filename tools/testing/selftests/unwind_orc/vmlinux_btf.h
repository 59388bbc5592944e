/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMLINUX_BTF_H
#define VMLINUX_BTF_H

/*
 * The number of the type of this kind (BTF_KIND_*) and name among the running
 * kernel's own types; 0 if there is none, or if the kernel has no types at all.
 */
int vmlinux_btf_id(unsigned int kind, const char *name);

/* The place of a member in this struct; -1 if it has none of this name. */
int vmlinux_btf_member(int id, const char *name);

#endif /* VMLINUX_BTF_H */
