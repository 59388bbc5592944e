/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unwind information for assembly code, as directives that the assembler turns
 * into .eh_frame and orctool into proved rows. Only where ORC tables are made:
 * other images have no place for .eh_frame.
 *
 * Annotate code that must be walked through and that orctool cannot prove to be
 * a leaf; leave all else alone. What the directives say is checked against the
 * instructions at build time.
 */
#ifndef __ASM_UNWIND_ORC_ASM_H
#define __ASM_UNWIND_ORC_ASM_H

#ifdef CONFIG_UNWIND_ORC_TABLES
#define CFI(directive...)	directive
#else
#define CFI(directive...)
#endif

#endif /* __ASM_UNWIND_ORC_ASM_H */
