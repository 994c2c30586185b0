/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the slot store: how it works, and what its files share.
 *
 * Slots. The guest's swap device keeps pages of 4 KiB in slots. The window is a memfd that is
 * mapped into the guest: a header, one 32-bit state word per slot, then the slots (abi.h). The
 * store has a record of its own for each slot (struct swap_slot) and trusts nothing but its
 * records: a word only says which contents the guest wants kept.
 *
 * Contents of a slot are in one of four places:
 *
 *   window       In the slot. A page of the memfd is behind it (SLOT_POPULATED).
 *   filled       In no memory: the page is one 64-bit value repeated, which the record has.
 *   compressed   In the arena: memory of the VMM in slabs of 16 KiB.
 *   spilled      In the spill store: a file or an NBD server. The record has a checksum.
 *
 * The last three are the stored copy, which counts if the word is STORED. Page and copy may exist
 * at once: a guest that writes to a STORED slot leaves an old copy behind, and a freed slot keeps
 * its page for some scans. The scan removes both. Contents that do not compress stay in the window
 * unless there is a spill store (SLOT_INCOMPRESSIBLE).
 *
 * Words. Guest and VMM change a word by compare-and-swap, the VMM only with the lock held:
 *
 *      guest claims      guest has written      guest maps, unmaps
 *   FREE ---------> WRITING ---------> RESIDENT <================> MAPPED
 *                                       |    ^
 *           VMM, if there is no reader  |    |  the guest takes it back,
 *                                       v    |  or the VMM has no place for the copy
 *                                       COPYING
 *                                          |
 *                     VMM has made a copy  |
 *                                          v    page went
 *                                        OWNED -----------> STORED <---------+
 *                                          |                   |             |
 *                       page could not go  |            FETCH  |             |  no memory
 *                                          v                   v             |  for a page
 *                                      RESIDENT              OWNED ----------+
 *                                                            |   |
 *                                         contents are back  |   |  contents are lost
 *                                                            v   v
 *                                                     RESIDENT   FAILED
 *
 * These changes are not in the picture:
 *
 *   - The guest also claims RESIDENT without readers, COPYING, STORED and FAILED for writing. It
 *     frees a slot in any state but OWNED and MAPPED. To free an OWNED slot it sets
 *     SYM_SLOT_DISCARD in the word; then OWNED becomes FREE.
 *   - To take a page without contents, the VMM changes FREE, STORED or FAILED to OWNED and back.
 *   - The scan repairs words of slots with a page or a copy that break the rules. COPYING that is
 *     not the VMM's becomes RESIDENT. STORED without a copy becomes FAILED, at a FETCH as well.
 *     OWNED that is not the VMM's, or an unknown state, becomes FREE.
 *   - If the guest has too many writes under way, ring_take() (fault.c) takes the page of a slot in
 *     use and writes FAILED. A MAPPED slot keeps its word.
 *   - While vCPUs are stopped, reset makes every word FREE, and load writes WRITING, RESIDENT,
 *     MAPPED or FAILED.
 *
 * So a slot is the guest's while it is WRITING, MAPPED, or RESIDENT with readers (counted in the
 * word). It is the VMM's alone while it is OWNED, from start to end with the lock held. The VMM
 * mostly copies a COPYING slot without the lock; if the guest takes the slot back meanwhile, the
 * change to OWNED fails and the copy is dropped.
 *
 * Budget, in pages. Pages behind slots and slabs of the arena count as used; the spill store does
 * not. A unit is a 64th of the budget, 16 to 512 pages. If less than 3 units are free, the scan
 * thread makes room until 4 are free. If less than 1 is free, the header says SYM_SWAP_FULL until 2
 * are free; a guest that sees it rings RESERVE before it writes. If the budget covers all slots,
 * FULL is never set. If the budget is lowered below the use, the ceiling is the use at that time
 * and then falls with it; else it is the budget. FETCH, load and the arena may go GROWTH_PAGES
 * beyond the ceiling, because memory of copies becomes free in whole slabs.
 *
 * The store has four kinds of threads:
 *
 *   swap-scan    scan.c       Looks at the words every SCAN_MS, and makes room.
 *   swap-events  uffd.c       Reads the events of missing pages into a queue.
 *   swap-fault   uffd.c       Serves the queue, without use of the spill store.
 *   swap-spill   writeback.c  Reads and writes the spill store; one per lane of it.
 *
 * The second and third exist only after swap_store_guard(). vCPU threads call the store for their
 * doorbells (RESERVE, FETCH), and other threads call the rest of store.h.
 *
 * A missing page. A thread that accesses a slot without a page waits in the kernel. swap-fault
 * allocates the page in the memfd and wakes it; then the kernel maps the page. The page is zero:
 * only FETCH brings contents back. If there is room, neighbours that the guest may soon write to
 * get pages, too: up to CHUNK_SLOTS in total, but not more than an eighth of the room. If there is
 * none, one page is given beyond the budget, because the write may have been under way when FULL
 * rose. store->ring lists these slots; if it is full, ring_take() first takes the page of one of
 * them.
 *
 * Making room, in this order: pages of FREE slots go; contents that were resident for COLD_SCANS
 * scans are filled or compressed; then any contents. Then the spill threads write out
 * incompressible contents, and compressed ones from the oldest slabs. MAPPED slots are never taken
 * for it: header.revoke_wanted asks for them. A vCPU without room takes the first three steps
 * itself for some slots, and then waits for the scan and the spill threads for a bounded time.
 *
 * Locks. One lock guards all that the store knows. A function named *_locked wants it held. Under
 * it words are read and changed, and pages are put behind slots and taken away. Compression of
 * batches and I/O run without it, on slots marked BUSY or IO; only saving, when vCPUs are stopped,
 * reads the spill store under it. sync_lock guards the vCPUs' evictor and is taken before the lock.
 * event_lock guards the queue of events and is never held with another.
 *
 * Files call downwards only: store > scan, writeback, uffd, reserve, save > fault > evict >
 * residency > slot, worker.
 *
 * The store never accesses the guest's mapping, whose missing pages wait for the store. It reads
 * and writes slots through the memfd, header and words through a mapping of its own.
 */
#ifndef SYMVM_SWAP_STORE_INTERNAL_H
#define SYMVM_SWAP_STORE_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <symbiotic/abi.h>

#include "swap/store/arena.h"
#include "swap/spill/spill.h"
#include "swap/store/store.h"

#define SLOT_SIZE	4096u
#define NO_SLOT		UINT32_MAX
#define GROUP_SLOTS	1024u
#define CHUNK_SLOTS	128u /* pages put there by one fault: 512 KiB */
#define BATCH_SLOTS	32u
#define RING_SLOTS	384u /* beyond the budget, for writes under way ... */
#define GROWTH_PAGES	128u /* ... and slabs of the arena: together 2 MiB */
#define FETCH_AHEAD	7u   /* slots that come with one that is fetched */
#define SPILL_RUN	16u  /* neighbours that are written together */
#define SPILL_THREADS	2u
#define FETCH_QUEUE	64u
#define SCAN_MS		250u
#define COLD_SCANS	3u    /* resident for so many scans: cold */
#define FREE_SCANS	2u    /* free for so many: its page goes */
#define RESERVE_WAIT_MS 100u  /* for the spill store, without progress ... */
#define RESERVE_MOST_MS 1000u /* ... and altogether */
#define LOOK_SLOTS	4096u /* looked at while the lock is held once */
#define RESERVE_LOOKS	4u    /* such pieces in one doorbell, of each kind */
#define EVENT_QUEUE	256u

/* Where the stored copy of a slot is. It is the slot's contents if the word is STORED. */
enum slot_where {
	WHERE_NONE,
	WHERE_FILLED,	  /* no memory: the page is `value` repeated */
	WHERE_COMPRESSED, /* in the arena at `value`, `length` bytes */
	WHERE_SPILLED,	  /* in the spill store, `length` bytes with the checksum `value` */
};

#define SLOT_POPULATED	    (1u << 0) /* a page of the memfd is behind it */
#define SLOT_BUSY	    (1u << 1) /* being copied: the page stays */
#define SLOT_IO		    (1u << 2) /* the spill store reads or writes it */
#define SLOT_STALE	    (1u << 3) /* with IO: the contents that are read or written are dead */
#define SLOT_INCOMPRESSIBLE (1u << 4)
#define SLOT_RING	    (1u << 5) /* in store->ring */
#define SLOT_SEEN_FREE	    (1u << 6) /* `age` counts scans that saw it FREE; else RESIDENT */

struct swap_slot {
	uint64_t value;
	uint16_t length; /* of the stored form; SLOT_SIZE: not compressed */
	uint8_t where;
	uint8_t flags;
	uint8_t age;
};

/*
 * How many of GROUP_SLOTS slots have a page, and a stored copy. The scan skips groups without any.
 */
struct swap_group {
	uint16_t populated;
	uint16_t stored;
};

/* Buffers with which one thread moves slots out. */
struct swap_evictor {
	struct swap_codec *codec;
	unsigned count;
	uint32_t slots[BATCH_SLOTS];
	uint32_t lengths[BATCH_SLOTS]; /* 0: filled with `fills`; SLOT_SIZE: incompressible */
	uint64_t fills[BATCH_SLOTS];
	uint8_t page[SLOT_SIZE] __attribute__((aligned(4096)));
	uint8_t out[BATCH_SLOTS][ARENA_OBJECT_MAX];
};

struct swap_store {
	struct swap_config config;
	struct swap_codec_library codec;
	struct log *log;
	int fd;
	uint64_t words_offset, slots_offset, window_size;
	uint32_t slot_count;
	struct sym_swap_header *header; /* and the words: a mapping of the VMM's own */
	uint32_t *words;
	struct swap_counters counters;

	pthread_mutex_t lock;	  /* taken by swap_lock() */
	_Atomic unsigned waiting; /* for the lock */
	pthread_cond_t work;	  /* for the scan: room is wanted */
	pthread_cond_t room;	  /* a thread made room, or could not */
	pthread_cond_t io;	  /* for the spill threads */
	struct swap_slot *slots;
	struct swap_group *groups;
	uint32_t group_count;
	struct arena *arena;
	/* Changed under the lock; read by reports without it. */
	_Atomic uint64_t resident;	      /* pages behind slots */
	_Atomic uint64_t budget;	      /* pages */
	_Atomic uint64_t spilled;	      /* slots */
	_Atomic uint64_t states[SWAP_STATES]; /* slots by state, of the last scan ... */
	_Atomic bool full;
	_Atomic uint32_t verdicts;
	uint64_t ceiling;		/* budget, or the use if the budget was lowered below it */
	uint64_t unit;			/* pages that are kept free, see residency.c */
	uint64_t counting[SWAP_STATES]; /* ... and of the one under way */
	bool room_wanted;
	bool in_vain; /* the scan thread looked at all slots and made no room */
	bool spill_wanted;
	_Atomic bool stopping;
	uint32_t ring[RING_SLOTS]; /* oldest first */
	unsigned ring_count;
	uint32_t hand;		      /* slot at which the search for cold ones continues */
	uint32_t spill_hand;	      /* ... for ones to spill */
	uint32_t free_hand;	      /* group at which the search for freed slots continues */
	bool reads_fail, writes_fail; /* the last one failed, and the log says so */
	uint32_t fetch_queue[FETCH_QUEUE];
	unsigned fetch_count;
	unsigned io_active;
	struct swap_evictor *evictor; /* under the lock; also expands */

	pthread_mutex_t sync_lock;	   /* around sync_evictor; taken before lock */
	struct swap_evictor *sync_evictor; /* for vCPUs that need room at once */

	int uffd;
	uint64_t guard_base; /* address of the slots in the guest's mapping */
	uint64_t guard_length;
	int stop_fd;
	pthread_mutex_t event_lock;
	pthread_cond_t event_added;
	uint32_t events[EVENT_QUEUE]; /* slots with a missing page, a ring */
	unsigned event_first, event_count;

	struct spill *spill; /* NULL: none */
	struct jail *jail;
	unsigned thread_count, threads_entered, threads_failed;
	pthread_t threads[4 + SPILL_THREADS];
};

#define swap_count(store, name, value) \
	atomic_fetch_add_explicit(&(store)->counters.name, value, memory_order_relaxed)

static inline uint32_t swap_word(const struct swap_store *store, uint32_t slot)
{
	return __atomic_load_n(&store->words[slot], __ATOMIC_ACQUIRE);
}

static inline bool swap_word_change(struct swap_store *store, uint32_t slot, uint32_t from,
				    uint32_t to)
{
	return __atomic_compare_exchange_n(&store->words[slot], &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline void swap_lock(struct swap_store *store)
{
	if (pthread_mutex_trylock(&store->lock) == 0)
		return;
	store->waiting++;
	pthread_mutex_lock(&store->lock);
	store->waiting--;
}

static inline void swap_unlock(struct swap_store *store)
{
	pthread_mutex_unlock(&store->lock);
}

/*
 * To be called between two pieces of long work. Lets threads that wait for the lock have it: a
 * mutex alone is not fair.
 */
static inline void swap_lock_pass(struct swap_store *store)
{
	if (!store->waiting)
		return;
	swap_unlock(store);
	sched_yield();
	swap_lock(store);
}

static inline uint64_t swap_used_locked(const struct swap_store *store)
{
	return store->resident + arena_pages(store->arena);
}

static inline uint64_t swap_room_locked(const struct swap_store *store)
{
	uint64_t used = swap_used_locked(store);

	return used < store->budget ? store->budget - used : 0;
}

static inline uint64_t swap_slot_offset(const struct swap_store *store, uint32_t slot)
{
	return store->slots_offset + (uint64_t)slot * SLOT_SIZE;
}

/* --- slot.c --- */

/*
 * Changes the word from OWNED to @state, or to FREE if the guest asked for that meanwhile. Returns
 * the new state, or SYM_SLOT_OWNED if the guest had changed the word.
 */
uint32_t swap_word_release_locked(struct swap_store *store, uint32_t slot, uint32_t state);
/* Drops the slot's stored copy, if there is one. */
void swap_copy_drop_locked(struct swap_store *store, uint32_t slot);
void swap_copy_set_locked(struct swap_store *store, uint32_t slot, enum slot_where where,
			  uint64_t value, uint32_t length);
/* Number of looks of LOOK_SLOTS slots that cover all slots. */
unsigned swap_looks(const struct swap_store *store);

/* --- worker.c --- */

/* NULL: out of memory. The caller destroys it. */
struct swap_evictor *swap_evictor_create(const struct swap_codec_library *codec);
void swap_evictor_destroy(struct swap_evictor *evictor);
/*
 * Enters the store's jail and counts the thread for swap_store_start(), which waits for it. @ready:
 * the thread has what it needs. False: the thread must end.
 */
bool swap_thread_enter(struct swap_store *store, const char *name, bool ready);

/* --- residency.c: host memory behind slots --- */

/*
 * To be called after each change of use or budget. Sets or clears FULL, and wakes the scan thread
 * if room is short.
 */
void swap_pressure_update_locked(struct swap_store *store);
/* Backs slots [@first, @first + @count), none of which is populated. -ENOMEM, -errno. */
int swap_populate_locked(struct swap_store *store, uint32_t first, uint32_t count);
/*
 * Gives pages back to the host. All are populated and none is BUSY. The words are OWNED, unless the
 * contents are given up.
 */
int swap_punch_locked(struct swap_store *store, uint32_t first, uint32_t count);
/*
 * Takes the page of a slot whose word is @word: a state without contents in the window. False: the
 * word changed meanwhile, or the page stays.
 */
bool swap_punch_dead_locked(struct swap_store *store, uint32_t slot, uint32_t word);

/* --- evict.c: out of the window and back --- */

/*
 * Moves out up to @most slots that have been resident for @age scans. Looks at up to LOOK_SLOTS
 * slots and starts where the last such look ended. Returns the number of slots moved. To be called
 * without the lock.
 */
unsigned swap_evict(struct swap_store *store, struct swap_evictor *evictor, unsigned age,
		    unsigned most);
/* The same for one slot. True: it was moved. */
bool swap_evict_slot_locked(struct swap_store *store, uint32_t slot);
/*
 * Brings a STORED slot back into the window. @page: its contents; NULL: they are in the VMM's
 * memory. There must be room. 0 also if the guest changed its mind; -ENOMEM; -EIO: the slot is
 * FAILED now.
 */
int swap_slot_restore_locked(struct swap_store *store, uint32_t slot, const void *page);
/*
 * Ends the way out of OWNED slots whose copies are set: gives back their pages, those of neighbours
 * together, and changes their words.
 */
void swap_evict_finish_locked(struct swap_store *store, const uint32_t *slots, unsigned count);
/* Puts the stored contents of a slot that is not spilled into @page. -EIO. */
int swap_copy_expand_locked(struct swap_store *store, uint32_t slot, void *page);
/* Puts contents into the window; backs the slot first if it has no page. -ENOMEM, -errno. */
int swap_page_write_locked(struct swap_store *store, uint32_t slot, const void *page);
/* Drops the slot's copy and changes its word from @state to FAILED. */
void swap_slot_fail_locked(struct swap_store *store, uint32_t slot, uint32_t state);

/* --- scan.c --- */

/*
 * Takes pages of FREE slots, @most or some more, and returns their number. Looks at about
 * LOOK_SLOTS slots and starts where the last such look ended.
 */
unsigned swap_punch_free_locked(struct swap_store *store, unsigned most);
void *swap_scan_thread(void *store);

/* --- fault.c --- */

/* Serves a missing page. Returns the first slot to wake and their number in *@count; 0: no memory.
 */
uint32_t swap_fault_serve(struct swap_store *store, uint32_t slot, uint32_t *count);

/* --- uffd.c --- */

void *swap_uffd_event_thread(void *store);
void *swap_uffd_fault_thread(void *store);

/* --- writeback.c --- */

void *swap_writeback_thread(void *store);
/*
 * Reads the contents of a spilled slot and waits for the spill store; for saving. @page is aligned.
 */
int swap_spill_read_locked(struct swap_store *store, uint32_t slot, void *page);
/* Queues the read of a spilled slot. */
void swap_fetch_queue_locked(struct swap_store *store, uint32_t slot);

#endif
