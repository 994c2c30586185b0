// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the kernel that go through this module while slots can be mapped, and functions that
 * it calls although they are not exported. If one is missing, nothing is mapped.
 *
 * Most hooks act before the function (map_before.c): a task that sleeps in the function, for as
 * long as it likes (userfaultfd, FUSE), is not in this module. The others replace it: they do not
 * sleep, except in a swapoff of one of our devices, during which the module cannot be unloaded
 * anyway.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/pagewalk.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/static_call.h>
#include <linux/version.h>
#include <linux/writeback.h>
#include "map.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
typedef void symswap_look_around_t; /* what lru_gen_look_around() returns */
#else
typedef bool symswap_look_around_t;
#endif

/*
 * Types of the functions that are called directly, since they may have lost their ENDBR. These
 * declarations have no definitions.
 */
struct swap_info_struct *symswap_type_get_swap_device(swp_entry_t entry);
void symswap_type_flush(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int stride_shift, bool freed_tables);
long symswap_type_syscall(const struct pt_regs *regs);
symswap_look_around_t symswap_type_look_around(struct page_vma_mapped_walk *walk);

DEFINE_STATIC_CALL_NULL(symswap_get_swap_device, symswap_type_get_swap_device);
DEFINE_STATIC_CALL_NULL(symswap_flush_range, symswap_type_flush);
DEFINE_STATIC_CALL_NULL(symswap_swapoff, symswap_type_syscall);
DEFINE_STATIC_CALL_NULL(symswap_swapoff32, symswap_type_syscall);
DEFINE_STATIC_CALL_NULL(symswap_look_around, symswap_type_look_around);

static unsigned long symswap_should_skip_vma; /* identifies a walk of MGLRU */

/* Calls in this file now. Only the sum counts: a task may leave on another CPU than it came. */
static DEFINE_PER_CPU(long, symswap_inside);

#define symswap_enter() this_cpu_inc(symswap_inside)
#define symswap_leave() this_cpu_dec(symswap_inside)

struct swap_info_struct *symswap_swap_get(swp_entry_t entry)
{
	return static_call(symswap_get_swap_device)(entry);
}

void symswap_swap_put(struct swap_info_struct *info)
{
	percpu_ref_put(&info->users);
}

void symswap_flush(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	static_call(symswap_flush_range)(mm, start, end, PAGE_SHIFT, false);
}

/* Before handle_mm_fault(). */
bool symswap_before_fault(struct vm_area_struct *vma, unsigned long address, unsigned int flags,
			  struct pt_regs *regs)
{
	symswap_enter();
	symswap_map_fault(vma, address, flags, regs);
	symswap_leave();
	return true;
}

/*
 * Before swap_writepage(): the page may go elsewhere (zswap, a bit for zeros). Its slot is stale
 * until it is written.
 */
bool symswap_before_writepage(struct page *page, struct writeback_control *control)
{
	struct folio *folio = page_folio(page);
	struct symswap_device *device;
	struct swap_info_struct *info;
	swp_entry_t entry;

	symswap_enter();
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
	entry = folio_swap_entry(folio);
#else
	entry = folio->swap;
#endif
	info = symswap_swap_get(entry);
	if (info) {
		unsigned long slot = swp_offset(entry), end = slot + folio_nr_pages(folio);

		device = symswap_device_of(info);
		for (; device && slot < end && slot < device->slots; slot++)
			clear_bit(slot, device->written);
		symswap_swap_put(info);
	}
	symswap_leave();
	return true;
}

/*
 * Before __mm_populate(): mlock() and the like would take a mapped slot for a present page. So it
 * is revoked first.
 */
bool symswap_before_populate(unsigned long start, unsigned long length, int ignore_errors)
{
	symswap_enter();
	if (length)
		symswap_revoke_range(current->mm, start, start + length);
	symswap_leave();
	return true;
}

/*
 * Before walk_page_range(): MGLRU's walk of page tables warns about mappings like ours, so it is
 * left out. It holds the mmap lock, so no mm is registered meanwhile.
 */
bool symswap_before_walk(struct mm_struct *mm, unsigned long start, unsigned long end,
			 const struct mm_walk_ops *ops, void *private)
{
	bool wanted;

	symswap_enter();
	wanted = (unsigned long)ops->test_walk != symswap_should_skip_vma || !symswap_mm_known(mm);
	symswap_leave();
	return wanted;
}

/*
 * Before hmm_range_fault(): a driver wants the pages of a range, for a device that uses them like
 * the process. It would take a mapped slot for a page, which it is not.
 */
bool symswap_before_hmm(struct hmm_range *range)
{
	symswap_enter();
	symswap_mm_shun(range->notifier->mm);
	symswap_leave();
	return true;
}

/* Our device that the path of a user's swapoff names, or NULL. May sleep. */
static struct symswap_device *symswap_swapoff_device(const char __user *name)
{
	struct symswap_device *device = NULL;
	const struct inode *inode;
	struct path path;

	/* The system call refuses it. A task without the right must not take mappings from others.
	 */
	if (!ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN) ||
	    user_path_at(AT_FDCWD, name, LOOKUP_FOLLOW, &path))
		return NULL;
	inode = d_backing_inode(path.dentry);
	if (S_ISBLK(inode->i_mode))
		device = symswap_device_number(inode->i_rdev);
	path_put(&path);
	return device;
}

/*
 * swapoff looks for swap entries in page tables, and ends only after it has found all of them. So
 * the mappings of that device are revoked before, and there are no new ones meanwhile.
 */
static bool symswap_swapoff_begin(unsigned long name)
{
	struct symswap_device *device;

	symswap_enter();
	device = symswap_swapoff_device((const char __user *)name);
	if (!device)
		return false;
	symswap_map_hold();
	symswap_revoke_all(device);
	return true;
}

static void symswap_swapoff_end(bool held)
{
	if (held)
		symswap_map_release();
	symswap_leave();
}

static long symswap_hook_swapoff(const struct pt_regs *regs)
{
	bool held = symswap_swapoff_begin(regs->di);
	long result = static_call(symswap_swapoff)(regs);

	symswap_swapoff_end(held);
	return result;
}

static long symswap_hook_swapoff32(const struct pt_regs *regs)
{
	bool held = symswap_swapoff_begin((u32)regs->bx);
	long result = static_call(symswap_swapoff32)(regs);

	symswap_swapoff_end(held);
	return result;
}

/* MGLRU warns in its look at a page's neighbours, too. Only the page itself is then aged. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
static void symswap_hook_look_around(struct page_vma_mapped_walk *walk)
{
	symswap_enter();
	if (!symswap_mm_known(walk->vma->vm_mm))
		static_call(symswap_look_around)(walk);
	symswap_leave();
}
#else
static bool symswap_hook_look_around(struct page_vma_mapped_walk *walk)
{
	bool young;

	symswap_enter();
	if (symswap_mm_known(walk->vma->vm_mm))
		young = pte_young(*walk->pte) &&
			test_and_clear_bit(_PAGE_BIT_ACCESSED, (unsigned long *)walk->pte);
	else
		young = static_call(symswap_look_around)(walk);
	symswap_leave();
	return young;
}
#endif

struct symswap_hook {
	const char *name;
	void *replacement; /* or code of map_before.c, by its number there */
	enum symswap_before before;
	bool optional; /* absent without 32-bit programs, or drivers that use HMM */
	unsigned long address;
	bool active;
	struct ftrace_ops ops;
};

enum {
	SYMSWAP_WRITEPAGE,
	SYMSWAP_SWAPOFF,
	SYMSWAP_SWAPOFF32,
	SYMSWAP_POPULATE,
	SYMSWAP_WALK,
	SYMSWAP_LOOK_AROUND,
	SYMSWAP_HMM,
	SYMSWAP_FAULT,
	SYMSWAP_HOOKS,
};

/* Faults last: nothing is mapped before all others are hooked, nor after one is unhooked. */
static struct symswap_hook symswap_hooks[SYMSWAP_HOOKS] = {
	[SYMSWAP_WRITEPAGE] = { "swap_writepage", .before = SYMSWAP_BEFORE_WRITEPAGE },
	[SYMSWAP_SWAPOFF] = { "__x64_sys_swapoff", symswap_hook_swapoff },
	[SYMSWAP_SWAPOFF32] = { "__ia32_sys_swapoff", symswap_hook_swapoff32, .optional = true },
	[SYMSWAP_POPULATE] = { "__mm_populate", .before = SYMSWAP_BEFORE_POPULATE },
	[SYMSWAP_WALK] = { "walk_page_range", .before = SYMSWAP_BEFORE_WALK },
	[SYMSWAP_LOOK_AROUND] = { "lru_gen_look_around", symswap_hook_look_around },
	[SYMSWAP_HMM] = { "hmm_range_fault", .before = SYMSWAP_BEFORE_HMM, .optional = true },
	[SYMSWAP_FAULT] = { "handle_mm_fault", .before = SYMSWAP_BEFORE_FAULT },
};

/*
 * A call of a hooked function goes to the replacement instead, unless this module calls it. Code of
 * map_before.c enters the function behind the hook, so it does not come here again.
 */
static void notrace symswap_redirect(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
				     struct ftrace_regs *fregs)
{
	struct symswap_hook *hook = container_of(ops, struct symswap_hook, ops);
	struct pt_regs *regs = ftrace_get_regs(fregs);

	if (regs && !within_module(parent, THIS_MODULE))
		regs->ip = (unsigned long)hook->replacement;
}

static void *symswap_original(unsigned int hook)
{
	return (void *)symswap_hooks[hook].address;
}

/* Returns the name of what is missing, or NULL. */
static const char *symswap_symbols_find(void)
{
	unsigned long get, flush;
	unsigned int i;

	for (i = 0; i < SYMSWAP_HOOKS; i++) {
		symswap_hooks[i].address = symbiotic_kernel_symbol(symswap_hooks[i].name);
		if (!symswap_hooks[i].address && !symswap_hooks[i].optional)
			return symswap_hooks[i].name;
	}
	get = symbiotic_kernel_symbol("get_swap_device");
	if (!get)
		return "get_swap_device";
	flush = symbiotic_kernel_symbol("flush_tlb_mm_range");
	if (!flush)
		return "flush_tlb_mm_range";
	symswap_should_skip_vma = symbiotic_kernel_symbol("should_skip_vma");
	if (!symswap_should_skip_vma)
		return "should_skip_vma";
	static_call_update(symswap_get_swap_device, (void *)get);
	static_call_update(symswap_flush_range, (void *)flush);
	static_call_update(symswap_swapoff, symswap_original(SYMSWAP_SWAPOFF));
	static_call_update(symswap_swapoff32, symswap_original(SYMSWAP_SWAPOFF32));
	static_call_update(symswap_look_around, symswap_original(SYMSWAP_LOOK_AROUND));
	return NULL;
}

static int symswap_hook_start(struct symswap_hook *hook)
{
	int error;

	if (hook->before) {
		hook->replacement = symswap_before_hook(hook->before, hook->address);
		if (!hook->replacement)
			return -ENOENT;
	}
	hook->ops.func = symswap_redirect;
	/* Permanent: kernel.ftrace_enabled=0 must not stop them. The callback calls nothing. */
	hook->ops.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY |
			  FTRACE_OPS_FL_PERMANENT;
	error = ftrace_set_filter_ip(&hook->ops, hook->address, 0, 0);
	if (!error)
		error = register_ftrace_function(&hook->ops);
	if (error)
		ftrace_set_filter_ip(&hook->ops, hook->address, 1, 0);
	hook->active = !error;
	return error;
}

/* symswap_hooks_start - NULL, or the name of what could not be found or hooked. May sleep. */
const char *symswap_hooks_start(void)
{
	const char *missing = symswap_symbols_find();
	unsigned int i;

	for (i = 0; !missing && i < SYMSWAP_HOOKS; i++)
		if (symswap_hooks[i].address && symswap_hook_start(&symswap_hooks[i]))
			missing = symswap_hooks[i].name;
	if (missing)
		symswap_hooks_stop();
	return missing;
}

/* Counters can only decrease now, so once the sum is 0, it stays 0. */
static bool symswap_hooks_busy(void)
{
	long inside = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		inside += per_cpu(symswap_inside, cpu);
	return inside;
}

/*
 * symswap_hooks_stop - unhook all; on return no task is in a replacement. May sleep.
 *
 * synchronize_rcu_tasks() waits for tasks between the redirection and the replacement's count.
 */
void symswap_hooks_stop(void)
{
	unsigned int i = SYMSWAP_HOOKS;

	while (i--) {
		if (!symswap_hooks[i].active)
			continue;
		unregister_ftrace_function(&symswap_hooks[i].ops);
		ftrace_set_filter_ip(&symswap_hooks[i].ops, symswap_hooks[i].address, 1, 0);
		symswap_hooks[i].active = false;
	}
	synchronize_rcu_tasks();
	while (symswap_hooks_busy())
		msleep(10);
	/* And for tasks that have counted themselves out, but not returned yet. */
	synchronize_rcu_tasks();
}
