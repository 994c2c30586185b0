/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slot store: one window of guest-physical space (struct sym_swap_header in abi.h), in whose
 * slots the guest's swap device keeps pages, and the host memory behind it. A budget bounds the
 * memory in use: pages of free slots go back to the host, then cold slots are compressed, then
 * slots are spilled to a file or an NBD server. store_internal.h explains how.
 *
 * Host safety never depends on the window's contents: the store's knowledge of a slot is in its own
 * memory; the guest's state words only say which contents the guest wants kept.
 */
#ifndef SYMVM_SWAP_STORE_H
#define SYMVM_SWAP_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "swap/store/codec.h"
#include "util/error.h"
#include "util/log.h"

struct jail;
struct serialize_reader;
struct serialize_writer;
struct swap_store;

#define SWAP_SIZE_MINIMUM   (1ull << 20)
#define SWAP_SIZE_MAXIMUM   (256ull << 30)
#define SWAP_BUDGET_MINIMUM (1ull << 20)
#define SWAP_STATES	    8u

struct swap_config {
	uint64_t size;	 /* bytes of slots, a multiple of 1 MiB */
	uint64_t budget; /* bytes of host memory that slots may use; 0: as many as size */
	enum swap_codec_kind codec;
	const char *spill; /* file or nbd:// address; NULL: none */
	unsigned index;	   /* number of the window */
};

/* Counters since creation. X(name, what it counts) */
#define SWAP_COUNTERS(X)                                                             \
	X(reserves, "doorbells for room")                                            \
	X(reserves_refused, "of them, refused: no room within the budget")           \
	X(fetches, "doorbells for slots that were stored elsewhere")                 \
	X(fetches_waiting, "of them, answered: it is being fetched")                 \
	X(fetches_refused, "of them, refused: no room within the budget")            \
	X(fetch_ns, "ns that they took, reads of spilled slots included")            \
	X(fetched, "slots brought back into the window")                             \
	X(fetched_ahead, "of them, unasked: neighbours of one that was asked for")   \
	X(filled, "slots stored as one repeated word")                               \
	X(compressed, "slots compressed")                                            \
	X(incompressible, "slots that compression did not make smaller")             \
	X(spilled, "slots written to the spill store")                               \
	X(spill_reads, "slots read back from it")                                    \
	X(spill_errors, "slots that the spill store failed to write or to read")     \
	X(spill_mismatches, "slots that came back from it changed")                  \
	X(failed, "slots whose contents were lost")                                  \
	X(punched, "pages of freed slots given back to the host")                    \
	X(faults, "userfaultfd events")                                              \
	X(populated, "pages put behind slots")                                       \
	X(over_budget, "of them, beyond the budget, for a write that was under way") \
	X(reclaimed, "of those, taken back with their contents")                     \
	X(looked, "slots looked at to make room")                                    \
	X(violations, "state words that the guest changed against the rules")

struct swap_counters {
#define SWAP_COUNTER_FIELD(name, text) _Atomic uint64_t name;
	SWAP_COUNTERS(SWAP_COUNTER_FIELD)
#undef SWAP_COUNTER_FIELD
};

struct swap_usage {
	uint64_t size;		      /* of all slots, bytes */
	uint64_t budget;	      /* these in bytes, too */
	uint64_t resident;	      /* host memory behind the window's slots */
	uint64_t compressed;	      /* host memory that compressed slots take */
	uint64_t spilled;	      /* in the spill store */
	uint64_t mapped;	      /* slots that the guest has mapped, by their words */
	bool full;		      /* the guest has to ask before it writes */
	uint64_t states[SWAP_STATES]; /* slots by SYM_SLOT_*, as the last scan saw them */
};

/*
 * Creates the store of one window: its memfd, header and state words. @log must outlive it.
 * Main thread. -EINVAL with words for bad configuration, -errno.
 */
int swap_store_create(const struct swap_config *config, struct log *log, struct swap_store **store,
		      struct error *err);
/*
 * Returns a descriptor of the memfd. The caller owns it and maps its swap_store_window_size() bytes
 * for the guest. -errno with words.
 */
int swap_store_window_fd(const struct swap_store *store, struct error *err);
uint64_t swap_store_window_size(const struct swap_store *store);

/*
 * From now on the store alone serves missing pages of the guest's mapping of the window at @hva, by
 * userfaultfd. Main thread, before anything touches the slots there. -EPERM with words if the host
 * does not let this process handle faults of KVM.
 */
int swap_store_guard(struct swap_store *store, void *hva, struct error *err);

/* Starts the store's threads, in @jail (may be NULL). Main thread. */
int swap_store_start(struct swap_store *store, struct jail *jail, struct error *err);
/* Ends the threads and frees everything. vCPUs have ended. */
void swap_store_destroy(struct swap_store *store);

/* Empties the store: all slots FREE. vCPUs are stopped. */
void swap_store_reset(struct swap_store *store);

/*
 * The doorbells. They return the verdicts of abi.h. vCPU threads, in a doorbell; each may take
 * about a second if room has to be made.
 */
int swap_store_reserve(struct swap_store *store, uint64_t slot);
int swap_store_fetch(struct swap_store *store, uint64_t slot);

/*
 * Writes the policy's words in the header: which verdicts may be given. Credit becomes void. Any
 * thread.
 */
void swap_store_set_verdicts(struct swap_store *store, uint32_t verdicts);
uint32_t swap_store_verdicts(const struct swap_store *store);

/*
 * Changes the budget, in bytes. A budget below the current use is reached as fast as slots can be
 * compressed or spilled; swap_store_usage() shows the progress. Any thread. -EINVAL with words.
 */
int swap_store_set_budget(struct swap_store *store, uint64_t budget, struct error *err);

/*
 * What the store uses now. The states of slots are those of the last scan, 250 ms ago or a little
 * more. Any thread.
 */
void swap_store_usage(struct swap_store *store, struct swap_usage *usage);
/* resident + compressed, bytes. Any thread, cheap. */
uint64_t swap_store_used(struct swap_store *store);
uint64_t swap_store_budget(struct swap_store *store);
const struct swap_counters *swap_store_counters(const struct swap_store *store);
const struct swap_config *swap_store_config(const struct swap_store *store);

/*
 * Save and load the whole store with its contents. Contents that are stored elsewhere are saved as
 * if they were in the window; contents that cannot be read are saved as FAILED. vCPUs are stopped.
 * -ENOMEM, -ENOSPC (beyond the budget), -EINVAL (of another size, or damaged), -errno.
 */
int swap_store_save(struct swap_store *store, struct serialize_writer *writer);
int swap_store_load(struct swap_store *store, struct serialize_reader *reader);

#endif
