/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the slot store. One lock guards all that the store knows. A function named *_locked
 * wants it held. Under it words are looked at and changed, pages put behind slots and taken away;
 * compression of batches and I/O go on without it, on slots marked BUSY or IO.
 *
 * Files call downwards only: store > scan, writeback, uffd, reserve, save > fault > evict >
 * residency > slot, worker.
 *
 * Nobody here touches the guest's mapping, whose missing pages wait for the store: slots are read
 * and written through the memfd, header and words through a mapping of their own.
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

/* Where a slot's contents are besides, or instead of, the window. */
enum slot_where {
	WHERE_NONE,
	WHERE_FILLED,	  /* nowhere: `value` repeated */
	WHERE_COMPRESSED, /* in the arena at `value`, `length` bytes */
	WHERE_SPILLED,	  /* in the spill store, `length` bytes with the checksum `value` */
};

#define SLOT_POPULATED	    (1u << 0) /* a page of the memfd is behind it */
#define SLOT_BUSY	    (1u << 1) /* being copied: the page stays */
#define SLOT_IO		    (1u << 2) /* the spill store reads or writes it */
#define SLOT_STALE	    (1u << 3) /* with IO: what it reads or writes is dead */
#define SLOT_INCOMPRESSIBLE (1u << 4)
#define SLOT_RING	    (1u << 5) /* in store->ring */
#define SLOT_SEEN_FREE	    (1u << 6) /* `age` counts scans that saw it FREE; else RESIDENT */

struct swap_slot {
	uint64_t value;
	uint16_t length; /* of the stored form; SLOT_SIZE: as it was */
	uint8_t where;
	uint8_t flags;
	uint8_t age;
};

/* How many of GROUP_SLOTS slots the scan has to look at: groups without any are passed. */
struct swap_group {
	uint16_t populated;
	uint16_t stored;
};

/* What one thread needs to move slots out. */
struct swap_mover {
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
	pthread_cond_t room;	  /* somebody made room, or could not */
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
	uint64_t ceiling; /* budget, or what was used when it was lowered below that */
	uint64_t unit;	  /* pages that are kept free, see residency.c */
	uint64_t counting[SWAP_STATES]; /* ... and of the one under way */
	bool room_wanted;
	bool in_vain; /* the scan thread looked at all slots and made no room */
	bool spill_wanted;
	_Atomic bool stopping;
	uint32_t ring[RING_SLOTS]; /* oldest first */
	unsigned ring_count;
	uint32_t hand;		      /* slot from which the next cold one is looked for */
	uint32_t spill_hand;	      /* ... the next one to spill */
	uint32_t free_hand;	      /* group from which the next freed slots are looked for */
	bool reads_fail, writes_fail; /* the last one did, and the log says so */
	uint32_t fetch_queue[FETCH_QUEUE];
	unsigned fetch_count;
	unsigned io_active;
	struct swap_mover *mover; /* under the lock; also expands */

	pthread_mutex_t sync_lock;     /* around sync_mover; taken before lock */
	struct swap_mover *sync_mover; /* for vCPUs that need room at once */

	int uffd;
	uint64_t guard_base; /* where the slots lie in the guest's mapping */
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

/* Between two pieces of long work: lets go of the lock for those that wait for it. A mutex alone is
 * not fair. */
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

/* Ends OWNED: to @state, or to FREE where the guest asked for it meanwhile. What it became, or
 * SYM_SLOT_OWNED where the guest had changed it. */
uint32_t swap_word_release_locked(struct swap_store *store, uint32_t slot, uint32_t state);
/* The slot's stored copy is dead. */
void swap_copy_drop_locked(struct swap_store *store, uint32_t slot);
void swap_copy_set_locked(struct swap_store *store, uint32_t slot, enum slot_where where,
			  uint64_t value, uint32_t length);
/* How many looks of LOOK_SLOTS slots see all of them. */
unsigned swap_looks(const struct swap_store *store);

/* --- worker.c --- */

/* NULL: out of memory. The caller destroys it. */
struct swap_mover *swap_mover_create(const struct swap_codec_library *codec);
void swap_mover_destroy(struct swap_mover *mover);
/*
 * Enters the store's jail and counts the thread for swap_store_start(), which waits for it. @ready:
 * the thread has what it needs. False: the thread must end.
 */
bool swap_thread_enter(struct swap_store *store, const char *name, bool ready);

/* --- residency.c: host memory behind slots --- */

/* After each change of what is used or allowed: tells the guest, wakes who makes room. */
void swap_pressure_update_locked(struct swap_store *store);
/* Backs slots [@first, @first + @count), none of which is populated. -ENOMEM, -errno. */
int swap_populate_locked(struct swap_store *store, uint32_t first, uint32_t count);
/* Gives pages back; all populated, none BUSY, all words the VMM's or not to be used by the guest.
 */
int swap_punch_locked(struct swap_store *store, uint32_t first, uint32_t count);
/* Takes the page of a slot whose word is @word, of a state without contents in the window. */
bool swap_punch_dead_locked(struct swap_store *store, uint32_t slot, uint32_t word);

/* --- evict.c: out of the window and back --- */

/*
 * Moves up to @most slots out that have been resident for @age scans; looks at LOOK_SLOTS slots,
 * from where the last such look ended. Their number. Not locked.
 */
unsigned swap_move_out(struct swap_store *store, struct swap_mover *mover, unsigned age,
		       unsigned most);
/* One slot, under the lock. */
bool swap_move_out_locked(struct swap_store *store, uint32_t slot);
/*
 * A STORED slot back into the window; @page: its contents, or NULL: from this memory. There must be
 * room. 0 also where the guest changed its mind; -ENOMEM; -EIO: it is FAILED now.
 */
int swap_move_in_locked(struct swap_store *store, uint32_t slot, const void *page);
/* Slots that are OWNED, with their copies set: their pages go, those of neighbours together, and
 * their words tell. */
void swap_leave_locked(struct swap_store *store, const uint32_t *slots, unsigned count);
/* The stored contents of a slot that is not spilled. -EIO. */
int swap_expand_locked(struct swap_store *store, uint32_t slot, void *page);
/* Puts contents into the window, and a page there if there is none. -ENOMEM, -errno. */
int swap_page_write_locked(struct swap_store *store, uint32_t slot, const void *page);
/* Its word becomes FAILED from @state. */
void swap_slot_fail_locked(struct swap_store *store, uint32_t slot, uint32_t state);

/* --- scan.c --- */

/*
 * Takes pages of FREE slots, @most or some more; their number. Looks at LOOK_SLOTS slots, from
 * where the last such look ended.
 */
unsigned swap_punch_free_locked(struct swap_store *store, unsigned most);
void *swap_scan_thread(void *store);

/* --- fault.c --- */

/* Serves a missing page. Returns the first slot to wake and their number in *@count; 0: no memory.
 */
uint32_t swap_serve_fault(struct swap_store *store, uint32_t slot, uint32_t *count);

/* --- uffd.c --- */

void *swap_event_thread(void *store);
void *swap_fault_thread(void *store);

/* --- writeback.c --- */

void *swap_spill_thread(void *store);
/* The contents of a spilled slot, waiting for the spill store: for saving. @page is aligned. */
int swap_spill_load_locked(struct swap_store *store, uint32_t slot, void *page);
/* Queues the read of a spilled slot. */
void swap_fetch_queue_locked(struct swap_store *store, uint32_t slot);

#endif
