// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of modules: found when a module is loaded, checked by the walker
 * if there is one, forgotten when the module goes.
 */
#define pr_fmt(fmt) "unwind_orc: " fmt

#include <linux/buildid.h>
#include <linux/elf.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include <asm/insn.h>

#include "edge.h"

/* The table of text section X is in section TABLE_PREFIX X. */
#define TABLE_PREFIX	".orc_unwind"
#define BUILD_ID_NOTE	".note.gnu.build-id"

/* One module that has text. */
struct unwind_orc_module {
	struct list_head list;
	struct rcu_head rcu;
	const char *name;
	/* All text has a table, and so has the build ID to compare with. */
	bool complete;
	/* The walker has accepted all of the tables. */
	bool usable;
	u8 build_id[BUILD_ID_SIZE_MAX];
	/* What the loader fills with struct plt_entry, for text and init text. */
	struct {
		unsigned long start;
		unsigned long size;
	} plts[2];
	unsigned int nr;
	struct unwind_orc_region regions[] __counted_by(nr);
};

/* Both guarded by unwind_orc_lock. */
static LIST_HEAD(modules);
/* Modules on the list that are not usable; counted while there is a walker. */
static unsigned int nr_unusable;

static bool accept_module(const struct unwind_orc_ops *ops,
			  const struct unwind_orc_module *om)
{
	if (!om->complete) {
		pr_notice("%s: module has no unwind tables for its text\n",
			  om->name);
		return false;
	}
	for (unsigned int i = 0; i < om->nr; i++) {
		if (!unwind_orc_accept(ops, om->name, &om->regions[i]))
			return false;
	}
	return true;
}

/* Have a new walker check the tables of all modules. */
void unwind_orc_accept_modules(const struct unwind_orc_ops *ops)
{
	struct unwind_orc_module *om;
	unsigned int unusable = 0;

	lockdep_assert_held(&unwind_orc_lock);
	list_for_each_entry(om, &modules, list) {
		om->usable = accept_module(ops, om);
		unusable += !om->usable;
	}
	WRITE_ONCE(nr_unusable, unusable);
}

/* Is there text in the kernel that a walk could meet and not know? */
bool unwind_orc_tables_missing(void)
{
	return READ_ONCE(nr_unusable) != 0;
}
NOKPROBE_SYMBOL(unwind_orc_tables_missing);

/* The part of unwind_orc_find() that is not vmlinux. */
enum unwind_orc_lookup
unwind_orc_find_module(unsigned long pc, struct unwind_orc_region *region)
{
	const struct unwind_orc_module *om;
	struct module *mod;

	/* Knows about init text that is gone, and about modules going. */
	mod = __module_text_address(pc);
	if (!mod)
		return UNWIND_ORC_NOT_TEXT;
	om = rcu_dereference(mod->arch.unwind_orc);
	if (!om)
		return UNWIND_ORC_NOT_TEXT;
	if (!om->usable)
		return UNWIND_ORC_NO_TABLE;

	for (unsigned int i = 0; i < om->nr; i++) {
		const struct unwind_orc_region *r = &om->regions[i];

		if (pc - (unsigned long)r->text < r->text_size) {
			*region = *r;
			return UNWIND_ORC_FOUND;
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(om->plts); i++)
		if (pc - om->plts[i].start < om->plts[i].size)
			return UNWIND_ORC_VENEER;
	return UNWIND_ORC_NOT_TEXT;
}
NOKPROBE_SYMBOL(unwind_orc_find_module);

/*
 * PLTs and ftrace trampolines are NOBITS, filled in by the loader: nothing can
 * describe them at build time. No return address points into them, but a task may
 * be interrupted there.
 */
static bool is_text(const struct elf64_shdr *s)
{
	return (s->sh_flags & SHF_ALLOC) && (s->sh_flags & SHF_EXECINSTR) &&
	       s->sh_type == SHT_PROGBITS && s->sh_size;
}

static const struct elf64_shdr *find_table(const struct elf64_hdr *hdr,
					   const struct elf64_shdr *sechdrs,
					   const char *text_name)
{
	const char *secstrs = (void *)hdr + sechdrs[hdr->e_shstrndx].sh_offset;
	const size_t prefix = strlen(TABLE_PREFIX);

	for (const struct elf64_shdr *s = sechdrs; s < sechdrs + hdr->e_shnum; s++) {
		const char *name = secstrs + s->sh_name;

		if ((s->sh_flags & SHF_ALLOC) &&
		    !strncmp(name, TABLE_PREFIX, prefix) &&
		    !strcmp(name + prefix, text_name))
			return s;
	}
	return NULL;
}

/* Fills in what @om is to know; leaves it incomplete where something misses. */
static void collect(struct unwind_orc_module *om, const struct elf64_hdr *hdr,
		    const struct elf64_shdr *sechdrs)
{
	const char *secstrs = (void *)hdr + sechdrs[hdr->e_shstrndx].sh_offset;
	const struct elf64_shdr *note = find_section(hdr, sechdrs, BUILD_ID_NOTE);
	unsigned int nr = 0;

	if (!note || build_id_parse_buf((void *)note->sh_addr, om->build_id,
					note->sh_size))
		return;

	for (const struct elf64_shdr *s = sechdrs; s < sechdrs + hdr->e_shnum; s++) {
		const struct elf64_shdr *table;

		if (!is_text(s))
			continue;
		table = find_table(hdr, sechdrs, secstrs + s->sh_name);
		if (!table || s->sh_size > U32_MAX || table->sh_size > U32_MAX)
			return;
		om->regions[nr++] = (struct unwind_orc_region) {
			.text = (void *)s->sh_addr,
			.text_size = s->sh_size,
			.table = (void *)table->sh_addr,
			.table_size = table->sh_size,
			.build_id = om->build_id,
		};
	}
	om->complete = true;
}

/*
 * An entry is adrp, add, br, by way of x16: see get_plt_entry(). Detours around
 * erratum 843419 are among them, too, but come back to the middle of a function:
 * where there is one of those, nothing is known of any.
 */
static void collect_plts(struct unwind_orc_module *om,
			 const struct elf64_hdr *hdr,
			 const struct elf64_shdr *sechdrs,
			 const struct module *mod)
{
	const u32 br = aarch64_insn_gen_branch_reg(AARCH64_INSN_REG_16,
						   AARCH64_INSN_BRANCH_NOLINK);
	const struct mod_plt_sec *secs[] = { &mod->arch.core, &mod->arch.init };
	static const char * const names[] = { ".plt", ".init.plt" };

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		const struct elf64_shdr *s = find_section(hdr, sechdrs, names[i]);
		int nr = secs[i]->plt_num_entries;
		const struct plt_entry *plt;

		if (!s)
			continue;
		plt = (void *)s->sh_addr;
		for (int j = 0; j < nr; j++)
			if (le32_to_cpu(plt[j].br) != br)
				nr = 0;
		om->plts[i].start = s->sh_addr;
		om->plts[i].size = nr * sizeof(*plt);
	}
}

/**
 * unwind_orc_module_finalize() - remember a module's tables
 * @hdr:     ELF header of the module
 * @sechdrs: its sections, at their final addresses
 * @mod:     the module, not visible to __module_address() yet
 *
 * A module without tables, or with bad ones, is loaded all the same.
 *
 * Return: 0 or -ENOMEM.
 */
int unwind_orc_module_finalize(const struct elf64_hdr *hdr,
			       const struct elf64_shdr *sechdrs,
			       struct module *mod)
{
	const struct unwind_orc_ops *ops;
	struct unwind_orc_module *om;
	unsigned int nr = 0;

	for (const struct elf64_shdr *s = sechdrs; s < sechdrs + hdr->e_shnum; s++)
		nr += is_text(s);
	if (!nr)
		return 0;

	om = kzalloc(struct_size(om, regions, nr), GFP_KERNEL);
	if (!om)
		return -ENOMEM;
	om->nr = nr;
	om->name = mod->name;
	collect(om, hdr, sechdrs);
	collect_plts(om, hdr, sechdrs, mod);

	guard(mutex)(&unwind_orc_lock);
	ops = unwind_orc_current_ops();
	if (ops) {
		om->usable = accept_module(ops, om);
		WRITE_ONCE(nr_unusable, nr_unusable + !om->usable);
	}
	list_add(&om->list, &modules);
	rcu_assign_pointer(mod->arch.unwind_orc, om);
	return 0;
}

/**
 * unwind_orc_module_cleanup() - forget a module's tables
 * @mod: the module, no longer visible to __module_address()
 *
 * A walk that looked the module up before may still be using the entry.
 */
void unwind_orc_module_cleanup(struct module *mod)
{
	struct unwind_orc_module *om;

	guard(mutex)(&unwind_orc_lock);
	om = rcu_dereference_protected(mod->arch.unwind_orc,
				       lockdep_is_held(&unwind_orc_lock));
	if (!om)
		return;
	rcu_assign_pointer(mod->arch.unwind_orc, NULL);
	list_del(&om->list);
	if (unwind_orc_current_ops())
		WRITE_ONCE(nr_unusable, nr_unusable - !om->usable);
	kfree_rcu(om, rcu);
}
