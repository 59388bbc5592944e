// SPDX-License-Identifier: GPL-2.0
/*
 * Pointer authentication, a second witness for the return addresses of a walk.
 *
 * A function that saves its return address signs it first, with the stack pointer at
 * its entry and the key of its task. The signature can be made again and compared.
 */
#include <linux/cpufeature.h>
#include <linux/kprobes.h>
#include <linux/sched.h>

#include <asm/pointer_auth.h>
#include <asm/sections.h>
#include <asm/sysreg.h>

#include "edge.h"

#ifdef CONFIG_UNWIND_ORC_PAC
/* PACIA1716, which is a NOP to an assembler that does not know it. */
#define SIGN_X17_WITH_X16	"hint	#8\n\t"

static unsigned long sign(unsigned long address, unsigned long modifier)
{
	register unsigned long x17 asm("x17") = address;
	register unsigned long x16 asm("x16") = modifier;

	asm volatile(SIGN_X17_WITH_X16 : "+r" (x17) : "r" (x16));
	return x17;
}
NOKPROBE_SYMBOL(sign);

/*
 * With the key of another task in the register nothing else may be signed that is
 * authenticated with this task's, or the other way round. So it is there for a single
 * statement, in which the task can't be preempted: no exception from the kernel
 * changes the key. An SDEI event might come, and finds and leaves it there, too.
 */
noinline unsigned long
unwind_orc_sign_as(const struct task_struct *task, unsigned long address,
		   unsigned long modifier)
{
	register unsigned long x17 asm("x17") = address;
	register unsigned long x16 asm("x16") = modifier;
	const struct ptrauth_key theirs = task->thread.keys_kernel.apia;
	const struct ptrauth_key ours = current->thread.keys_kernel.apia;
	unsigned long daif;

	asm volatile("mrs	%[daif], daif\n\t"
		     "msr	daifset, #0xf\n\t"
		     __msr_s(SYS_APIAKEYLO_EL1, "%x[their_lo]")
		     __msr_s(SYS_APIAKEYHI_EL1, "%x[their_hi]")
		     "isb\n\t"
		     SIGN_X17_WITH_X16
		     __msr_s(SYS_APIAKEYLO_EL1, "%x[our_lo]")
		     __msr_s(SYS_APIAKEYHI_EL1, "%x[our_hi]")
		     "isb\n\t"
		     "msr	daif, %[daif]"
		     : "+r" (x17), [daif] "=&r" (daif)
		     : "r" (x16),
		       [their_lo] "r" (theirs.lo), [their_hi] "r" (theirs.hi),
		       [our_lo] "r" (ours.lo), [our_hi] "r" (ours.hi)
		     : "memory");
	return x17;
}
NOKPROBE_SYMBOL(unwind_orc_sign_as);

/**
 * unwind_orc_is_authentic() - is this return address the one that was signed?
 * @task: the task being walked
 * @raw:  the return address as it is on the stack
 * @cfa:  stack pointer at the entry of the function which has signed it
 *
 * Return: true where the CPUs sign nothing.
 */
bool unwind_orc_is_authentic(const struct task_struct *task, unsigned long raw,
			     unsigned long cfa)
{
	unsigned long address = ptrauth_strip_kernel_insn_pac(raw);
	unsigned long made;

	if (!system_supports_address_auth())
		return true;
	made = task == current ? sign(address, cfa) :
				 unwind_orc_sign_as(task, address, cfa);
	if (likely(made == raw))
		return true;
	/* start_kernel() was called before there was a key. */
	return unwind_orc_is_boot_idle(task) && is_kernel_inittext(address) &&
	       raw == address;
}
#else
bool unwind_orc_is_authentic(const struct task_struct *task, unsigned long raw,
			     unsigned long cfa)
{
	return true;
}
#endif /* CONFIG_UNWIND_ORC_PAC */
EXPORT_SYMBOL_GPL(unwind_orc_is_authentic);
NOKPROBE_SYMBOL(unwind_orc_is_authentic);
