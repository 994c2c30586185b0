// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stand-in for symbiotic.ko and the VMM behind it, for tests of symswap.ko on plain QEMU: a
 * window in memory that the kernel was told to leave alone (memmap=), and a thread that plays the
 * store. It takes resident slots away at random, wipes them in the window, and gives them
 * back on request. It makes the checks that abi.h allows, and counts the violations.
 */
#define pr_fmt(fmt) "fake: " fmt

#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <symbiotic/symbiotic.h>

static ulong base;
module_param(base, ulong, 0444);
static ulong slots = 65536;
module_param(slots, ulong, 0444);
static uint windows = 2; /* side by side, of that size each */
module_param(windows, uint, 0444);
static uint verdict = SYM_VERDICT_COPY; /* given for `credit` swap-ins */
module_param(verdict, uint, 0644);
static uint credit = 16;
module_param(credit, uint, 0644);
static uint around = 1; /* pages that one swap-in maps */
module_param(around, uint, 0644);
static uint revoke; /* one round in so many asks for mapped slots; 0: none */
module_param(revoke, uint, 0644);
static uint steal = 100; /* slots tried in one round of the store */
module_param(steal, uint, 0644);
static uint refuse; /* one doorbell in so many is answered -EAGAIN; 0: none */
module_param(refuse, uint, 0644);
static bool fail; /* slots that are taken are lost */
module_param(fail, bool, 0644);
static bool full; /* no room: RESERVE is refused */
module_param(full, bool, 0644);

static bool stale; /* words as a kernel leaves them that ended by kexec */
module_param(stale, bool, 0444);
static uint heaviest; /* the greatest weight in a query since it was set to 0 */
module_param(heaviest, uint, 0644);

static ulong stolen, fetched, asked, wrong;
module_param(stolen, ulong, 0444);
module_param(fetched, ulong, 0444);
module_param(asked, ulong, 0444);
module_param(wrong, ulong, 0444);

struct fake_window {
	struct sym_swap_header *header;
	u32 *words;
	void *data;
	void *store; /* contents of stored slots, beyond the windows */
};

static struct fake_window fakes[SYM_SWAP_WINDOWS_MAX];
/* fake_calls.c */
extern const struct symbiotic_call *fake_calls[2];
static struct task_struct *thread;
static atomic_t bells;

static u64 window_size(void)
{
	return PAGE_SIZE + PAGE_ALIGN(slots * sizeof(u32)) + (slots << PAGE_SHIFT);
}

u64 symbiotic_swap_window(unsigned int index)
{
	return index < windows ? base + index * window_size() : 0;
}
EXPORT_SYMBOL_GPL(symbiotic_swap_window);

bool symbiotic_active(void)
{
	return true;
}
EXPORT_SYMBOL_GPL(symbiotic_active);

static void *slot_data(struct fake_window *fake, unsigned long slot)
{
	return fake->data + (slot << PAGE_SHIFT);
}

static void *slot_stored(struct fake_window *fake, unsigned long slot)
{
	return fake->store + (slot << PAGE_SHIFT);
}

/* OWNED -> @state, unless the guest wants it freed. */
static void give_back(struct fake_window *fake, unsigned long slot, u32 state)
{
	if (cmpxchg(&fake->words[slot], SYM_SLOT_OWNED, state) == SYM_SLOT_OWNED)
		return;
	WRITE_ONCE(fake->words[slot], SYM_SLOT_FREE);
}

static s64 fetch(struct fake_window *fake, unsigned long slot)
{
	if (refuse && atomic_inc_return(&bells) % refuse == 0)
		return -EAGAIN;
	if (cmpxchg(&fake->words[slot], SYM_SLOT_STORED, SYM_SLOT_OWNED) != SYM_SLOT_STORED)
		return 0;
	memcpy(slot_data(fake, slot), slot_stored(fake, slot), PAGE_SIZE);
	give_back(fake, slot, SYM_SLOT_RESIDENT);
	fetched++;
	return 0;
}

static s64 decide(void)
{
	static u8 message[SYM_MESSAGE_SIZE];
	static DEFINE_RAW_SPINLOCK(lock);
	struct symbiotic_request request = {.message = message};
	const struct sym_swap_query *query = (void *)message;
	const struct symbiotic_call *call = READ_ONCE(fake_calls[0]);

	raw_spin_lock(&lock);
	if (!call || call->handler(&request) != sizeof(*query) || query->pid != current->pid ||
	    !query->mem_total || !query->high_watermark || query->cgroup[0] != '/')
		wrong++;
	heaviest = max(heaviest, query->weight);
	asked++;
	raw_spin_unlock(&lock);
	return SYM_VERDICT(verdict, credit, around);
}

int symbiotic_doorbell(u32 reason, const u64 *request, unsigned int count, s64 *answer)
{
	if (!in_task() || irqs_disabled() || count < 2 || request[0] >= windows ||
	    request[1] >= slots) {
		wrong++;
		return -EINVAL;
	}
	preempt_disable();
	switch (reason) {
	case SYM_DOORBELL_SWAP_FETCH:
		*answer = fetch(&fakes[request[0]], request[1]);
		break;
	case SYM_DOORBELL_SWAP_RESERVE:
		*answer = full ? -ENOSPC : 0;
		break;
	case SYM_DOORBELL_SWAP_DECIDE:
		*answer = decide();
		break;
	default:
		*answer = -ENOSYS;
	}
	preempt_enable();
	return 0;
}
EXPORT_SYMBOL_GPL(symbiotic_doorbell);

/* Like the VMM: copies, owns, wipes, stores. At each step the guest may be faster. */
static void take(struct fake_window *fake, unsigned long slot)
{
	u32 *word = &fake->words[slot];

	if (cmpxchg(word, SYM_SLOT_RESIDENT, SYM_SLOT_COPYING) != SYM_SLOT_RESIDENT)
		return;
	memcpy(slot_stored(fake, slot), slot_data(fake, slot), PAGE_SIZE);
	if (cmpxchg(word, SYM_SLOT_COPYING, SYM_SLOT_OWNED) != SYM_SLOT_COPYING)
		return;
	memset(slot_data(fake, slot), 0xdb, PAGE_SIZE);
	if (get_random_u32() % 64 == 0)
		udelay(200);
	give_back(fake, slot, fail ? SYM_SLOT_FAILED : SYM_SLOT_STORED);
	stolen++;
}

/* Like a VMM that lacks memory: asks by the header, or by a call in some doorbell. */
static void want_back(struct fake_window *fake, u32 index)
{
	const struct symbiotic_call *call = READ_ONCE(fake_calls[1]);
	struct symbiotic_request request = {.args = {index, 1 + get_random_u32() % 64}};

	WRITE_ONCE(fake->header->revoke_wanted, 0);
	if (!revoke || get_random_u32() % revoke)
		return;
	if (get_random_u32() % 2) {
		WRITE_ONCE(fake->header->revoke_wanted, request.args[1]);
		return;
	}
	preempt_disable();
	if (call && call->handler(&request) < 0)
		wrong++;
	preempt_enable();
}

static int store(void *unused)
{
	while (!kthread_should_stop()) {
		unsigned int i;

		for (i = 0; i < READ_ONCE(steal); i++) {
			struct fake_window *fake = &fakes[get_random_u32() % windows];
			/* Swap fills from the start, so look there more often. */
			take(fake, get_random_u32() % (1 + get_random_u32() % slots));
			cond_resched();
		}
		for (i = 0; i < windows; i++) {
			WRITE_ONCE(fakes[i].header->flags,
				   full || get_random_u32() % 2 ? SYM_SWAP_FULL : 0);
			want_back(&fakes[i], i);
		}
		usleep_range(500, 1000);
	}
	return 0;
}

static int verdicts_set(const char *text, const struct kernel_param *param)
{
	unsigned int i;
	u32 verdicts;
	int error = kstrtou32(text, 0, &verdicts);

	for (i = 0; !error && i < windows; i++) {
		WRITE_ONCE(fakes[i].header->verdicts, verdicts);
		WRITE_ONCE(fakes[i].header->policy_epoch, fakes[i].header->policy_epoch + 1);
	}
	return error;
}
static const struct kernel_param_ops verdicts_ops = {.set = verdicts_set};
module_param_cb(verdicts, &verdicts_ops, NULL, 0200);

/* Claims of which their owner knows nothing any more, in all slots that a swap area begins with. */
static void __init leave_claims(struct fake_window *fake)
{
	static const u32 claims[] = {SYM_SLOT_MAPPED, SYM_SLOT_WRITING,
				     SYM_SLOT_RESIDENT | 3 * SYM_SLOT_READER};
	unsigned long slot;

	for (slot = 0; slot < min(slots, 4096ul); slot++)
		fake->words[slot] = claims[slot % ARRAY_SIZE(claims)];
	fake->header->mapped = 4096 / ARRAY_SIZE(claims);
}

static int __init make_window(unsigned int index)
{
	struct fake_window *fake = &fakes[index];
	void *window = memremap(symbiotic_swap_window(index), window_size(), MEMREMAP_WB);

	fake->store = memremap(base + windows * window_size() + index * (slots << PAGE_SHIFT),
			       slots << PAGE_SHIFT, MEMREMAP_WB);
	if (!window || !fake->store)
		return -ENOMEM;
	fake->header = window;
	fake->words = window + PAGE_SIZE;
	fake->data = window + PAGE_SIZE + PAGE_ALIGN(slots * sizeof(u32));
	memset(window, 0, PAGE_SIZE + PAGE_ALIGN(slots * sizeof(u32)));
	*fake->header = (struct sym_swap_header){
		.magic = SYM_SWAP_MAGIC,
		.version = SYM_ABI_VERSION,
		.index = index,
		.size = window_size(),
		.slots = slots,
		.words_offset = PAGE_SIZE,
		.slots_offset = PAGE_SIZE + PAGE_ALIGN(slots * sizeof(u32)),
	};
	if (stale)
		leave_claims(fake);
	return 0;
}

void sym_ksyms_find(void);
static int __init fake_init(void)
{
	unsigned int i;

	if (!base || windows > SYM_SWAP_WINDOWS_MAX)
		return -EINVAL;
	sym_ksyms_find();
	for (i = 0; i < windows; i++) {
		if (make_window(i))
			return -ENOMEM;
	}
	thread = kthread_run(store, NULL, "fake-store");
	return PTR_ERR_OR_ZERO(thread);
}

/*
 * After symswap was removed, no slot is mapped. The slots that the guest swapped to the first
 * window are free, except for mkswap's header. (The guest may have used the second as a disk.)
 */
static void __exit check_slot(unsigned int window, unsigned long slot)
{
	u32 word = fakes[window].words[slot];

	if (SYM_SLOT_STATE(word) == SYM_SLOT_MAPPED || (!window && slot && word != SYM_SLOT_FREE))
		pr_err("slot %lu of %u is left as %#x\n", slot, window, word);
}

static void __exit fake_exit(void)
{
	unsigned long slot;
	unsigned int i;

	kthread_stop(thread);
	for (i = 0; i < windows; i++) {
		for (slot = 0; slot < slots; slot++)
			check_slot(i, slot);
		memunmap(fakes[i].store);
		memunmap(fakes[i].header);
	}
}

module_init(fake_init);
module_exit(fake_exit);
MODULE_DESCRIPTION("Stand-in for symbiotic.ko and a slot store");
MODULE_LICENSE("GPL");
