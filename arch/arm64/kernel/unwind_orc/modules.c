// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of modules: found when a module is loaded, checked by the walker
 * if there is one, forgotten when the module goes.
 *
 * A walk finds them through a tree of its own. A return address read from a stack
 * can be anything, and __module_text_address() is not for that: it expects that a
 * module's init text, which it still finds for a moment while it is given up, is
 * within the module (BUG_ON), and the two are changed one after the other.
 *
 * Readers are walks: in an RCU read side section, on any CPU, in any context, also
 * in one that interrupted a writer. Writers hold unwind_orc_lock.
 *
 * - The tree is latched: a reader always has a copy that nobody is changing. It
 *   sees a range either before or after a change, and both are right.
 * - A range is put in when all of its module's entry is filled in, before the
 *   module's code can run.
 * - The range of init text is taken out before the loader lets an RCU grace period
 *   pass and frees the text; all ranges of a module are, before the loader does the
 *   same with the module: module_arch_freeing_init() and module_arch_cleanup(). So
 *   whatever a reader finds, text and table included, stays for as long as it is in
 *   its section, and what has been freed is not found.
 * - The entry itself, with the nodes, is freed after a grace period of its own.
 * - @usable changes while no walker is registered, hence after a grace period
 *   without walks, or before the ranges are in the tree.
 */
#define pr_fmt(fmt) "unwind_orc: " fmt

#include <linux/buildid.h>
#include <linux/elf.h>
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rbtree_latch.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include <asm/insn.h>

#include "edge.h"

/* The table of text section X is in section TABLE_PREFIX X, and linked to it. */
#define TABLE_PREFIX	".orc_unwind"
#define BUILD_ID_NOTE	".note.gnu.build-id"

/* Where the loader has put a module's text, or its init text. */
struct text_range {
	struct latch_tree_node node;
	unsigned long start;
	unsigned long size;
	struct unwind_orc_module *om;
	bool is_linked;
};

/* One module that has text. */
struct unwind_orc_module {
	struct list_head list;
	struct rcu_head rcu;
	const char *name;
	struct text_range core;
	struct text_range init;
	/* What keeps the tables from being used, whatever is in them; or NULL. */
	const char *missing;
	/* The walker has accepted all of the tables. */
	bool usable;
	u8 build_id[BUILD_ID_SIZE_MAX];
	/*
	 * What the loader fills with struct plt_entry: for text and init text, and for
	 * the calls of ftrace_caller in each.
	 */
	struct {
		unsigned long start;
		unsigned long size;
		enum unwind_orc_lookup found;
	} plts[4];
	unsigned int nr;
	struct unwind_orc_region regions[] __counted_by(nr);
};

/* Changed under unwind_orc_lock. */
static LIST_HEAD(modules);
static struct latch_tree_root text_ranges __cacheline_aligned;
/* Modules on the list that are not usable; counted while there is a walker. */
static unsigned int nr_unusable;

static __always_inline bool range_less(struct latch_tree_node *a,
				       struct latch_tree_node *b)
{
	return container_of(a, struct text_range, node)->start <
	       container_of(b, struct text_range, node)->start;
}

static __always_inline int range_comp(void *key, struct latch_tree_node *n)
{
	const struct text_range *range = container_of(n, struct text_range, node);
	unsigned long pc = (unsigned long)key;

	if (pc < range->start)
		return -1;
	return pc - range->start >= range->size;
}

static const struct latch_tree_ops range_ops = {
	.less = range_less,
	.comp = range_comp,
};

static void link_range(struct text_range *range, struct unwind_orc_module *om,
		       const struct module_memory *mem)
{
	if (!mem->size)
		return;
	range->start = (unsigned long)mem->base;
	range->size = mem->size;
	range->om = om;
	range->is_linked = true;
	latch_tree_insert(&range->node, &text_ranges, &range_ops);
}

static void unlink_range(struct text_range *range)
{
	if (!range->is_linked)
		return;
	range->is_linked = false;
	latch_tree_erase(&range->node, &text_ranges, &range_ops);
}

static bool accept_module(const struct unwind_orc_ops *ops,
			  const struct unwind_orc_module *om)
{
	if (om->missing) {
		pr_notice("%s: unwind tables of this module not used: %s\n",
			  om->name, om->missing);
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
unwind_orc_find_module(unsigned long pc,
		       const struct unwind_orc_region **region)
{
	const struct unwind_orc_module *om;
	struct latch_tree_node *node;

	node = latch_tree_find((void *)pc, &text_ranges, &range_ops);
	if (!node)
		return UNWIND_ORC_NOT_TEXT;
	om = container_of(node, struct text_range, node)->om;
	if (!om->usable)
		return UNWIND_ORC_NO_TABLE;

	for (unsigned int i = 0; i < om->nr; i++) {
		const struct unwind_orc_region *r = &om->regions[i];

		if (pc - (unsigned long)r->text < r->text_size) {
			*region = r;
			return UNWIND_ORC_FOUND;
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(om->plts); i++)
		if (pc - om->plts[i].start < om->plts[i].size)
			return om->plts[i].found;
	return UNWIND_ORC_NOT_TEXT;
}
NOKPROBE_SYMBOL(unwind_orc_find_module);

/*
 * PLTs, those of ftrace_caller too, are NOBITS, filled in by the loader: nothing can
 * describe them at build time. No return address points into them, but a task may
 * be interrupted there.
 */
static bool is_text(const struct elf64_shdr *s)
{
	return (s->sh_flags & SHF_ALLOC) && (s->sh_flags & SHF_EXECINSTR) &&
	       s->sh_type == SHT_PROGBITS && s->sh_size;
}

static bool is_table(const struct elf64_shdr *s, const char *name)
{
	return (s->sh_flags & SHF_ALLOC) && (s->sh_flags & SHF_LINK_ORDER) &&
	       !strncmp(name, TABLE_PREFIX, strlen(TABLE_PREFIX));
}

/*
 * The table that is linked to section number @text. Two sections may have one name,
 * so the name does not tell; and sh_link of a section that has SHF_LINK_ORDER stays
 * right when strip or objcopy renumber the sections. NULL also if there are two.
 */
static const struct elf64_shdr *find_table(const struct elf64_hdr *hdr,
					   const struct elf64_shdr *sechdrs,
					   unsigned int text)
{
	const char *secstrs = (void *)hdr + sechdrs[hdr->e_shstrndx].sh_offset;
	const struct elf64_shdr *found = NULL;

	for (const struct elf64_shdr *s = sechdrs; s < sechdrs + hdr->e_shnum; s++) {
		if (s->sh_link != text || !is_table(s, secstrs + s->sh_name))
			continue;
		if (found)
			return NULL;
		found = s;
	}
	return found;
}

/* Fills in what @om is to know. Returns what is missing, or NULL. */
static const char *collect(struct unwind_orc_module *om,
			   const struct elf64_hdr *hdr,
			   const struct elf64_shdr *sechdrs,
			   struct module *mod)
{
	const struct elf64_shdr *note = find_section(hdr, sechdrs, BUILD_ID_NOTE);
	unsigned int nr = 0;

	if (!note || build_id_parse_buf((void *)note->sh_addr, om->build_id,
					note->sh_size))
		return "no build-id";

	for (unsigned int i = 0; i < hdr->e_shnum; i++) {
		const struct elf64_shdr *s = &sechdrs[i];
		const struct elf64_shdr *table;

		if (!is_text(s))
			continue;
		table = find_table(hdr, sechdrs, i);
		if (!table)
			return "not one table for each text section";
		if (s->sh_size > U32_MAX || table->sh_size > U32_MAX)
			return "too large";
		om->regions[nr++] = (struct unwind_orc_region) {
			.text = (void *)s->sh_addr,
			.text_size = s->sh_size,
			.table = (void *)table->sh_addr,
			.table_size = table->sh_size,
			.build_id = om->build_id,
			.is_patch = is_livepatch_module(mod),
		};
	}
	return NULL;
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
		om->plts[i].found = UNWIND_ORC_VENEER;
	}
}

/* By way of these the entries of traced functions call ftrace_caller. */
static void collect_ftrace_plts(struct unwind_orc_module *om,
				const struct module *mod)
{
	const struct plt_entry *plts[] = { mod->arch.ftrace_trampolines,
					   mod->arch.init_ftrace_trampolines };

	for (unsigned int i = 0; i < ARRAY_SIZE(plts); i++) {
		if (!plts[i])
			continue;
		om->plts[2 + i].start = (unsigned long)&plts[i][FTRACE_PLT_IDX];
		om->plts[2 + i].size = sizeof(struct plt_entry);
		om->plts[2 + i].found = UNWIND_ORC_FTRACE_VENEER;
	}
}

/**
 * unwind_orc_module_finalize() - remember a module's tables
 * @hdr:     ELF header of the module
 * @sechdrs: its sections, at their final addresses
 * @mod:     the module, whose code can't run yet
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
	om->missing = collect(om, hdr, sechdrs, mod);
	collect_plts(om, hdr, sechdrs, mod);
	collect_ftrace_plts(om, mod);

	guard(mutex)(&unwind_orc_lock);
	ops = unwind_orc_current_ops();
	if (ops) {
		om->usable = accept_module(ops, om);
		WRITE_ONCE(nr_unusable, nr_unusable + !om->usable);
	}
	list_add(&om->list, &modules);
	rcu_assign_pointer(mod->arch.unwind_orc, om);
	link_range(&om->core, om, &mod->mem[MOD_TEXT]);
	link_range(&om->init, om, &mod->mem[MOD_INIT_TEXT]);
	return 0;
}

static struct unwind_orc_module *module_entry(struct module *mod)
{
	return rcu_dereference_protected(mod->arch.unwind_orc,
					 lockdep_is_held(&unwind_orc_lock));
}

/**
 * unwind_orc_module_free_init() - forget a module's init text
 * @mod: the module, whose init code has run
 *
 * The text is freed after an RCU grace period.
 */
void unwind_orc_module_free_init(struct module *mod)
{
	struct unwind_orc_module *om;

	guard(mutex)(&unwind_orc_lock);
	om = module_entry(mod);
	if (om)
		unlink_range(&om->init);
}

/**
 * unwind_orc_module_cleanup() - forget a module's tables
 * @mod: the module, whose code does not run any more
 *
 * Its memory is freed after an RCU grace period.
 */
void unwind_orc_module_cleanup(struct module *mod)
{
	struct unwind_orc_module *om;

	guard(mutex)(&unwind_orc_lock);
	om = module_entry(mod);
	if (!om)
		return;
	RCU_INIT_POINTER(mod->arch.unwind_orc, NULL);
	unlink_range(&om->core);
	unlink_range(&om->init);
	list_del(&om->list);
	if (unwind_orc_current_ops())
		WRITE_ONCE(nr_unusable, nr_unusable - !om->usable);
	kfree_rcu(om, rcu);
}
