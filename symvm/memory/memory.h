/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory. RAM lies in [0, 3 GiB) and from 4 GiB upwards; the hole between holds the
 * PCI windows and the interrupt controllers. Each region is one memslot backed by a memfd, or by a
 * file in a tmpfs of its own (memory_backing.h).
 */
#ifndef SYMVM_MEMORY_H
#define SYMVM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

#define MEMORY_HOLE_START  0xc0000000ull
#define MEMORY_HOLE_END	   0x100000000ull
#define MEMORY_REGIONS_MAX 8

#define MEMORY_HUGE_PAGE_SIZE (2ull << 20)

struct memory_blocks;
struct memory_watch;

struct memory_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva;
	int fd; /* memfd, and where in it the region starts */
	uint64_t fd_offset;
	uint32_t slot;		      /* KVM memslot */
	bool ram;		      /* false: a window that DMA must not touch (slot store) */
	struct memory_blocks *blocks; /* NULL: all of it is plugged; see memory_plug.h. Owned */
};

struct guest_memory {
	int vm_fd;
	uint64_t ram_size;
	bool huge;		    /* transparent huge pages if possible */
	bool dump;		    /* in core dumps */
	bool reserved;		    /* huge pages of the host's pool, all taken at the start */
	struct memory_watch *watch; /* see memory_lost.h; NULL: none. Owned */
	unsigned count;
	struct memory_region regions[MEMORY_REGIONS_MAX];
};

struct memory_config {
	uint64_t size; /* bytes of RAM, a multiple of 1 MiB */
	uint64_t max;  /* bytes including RAM that may be plugged later (memory_plug.h); 0: @size */
	uint64_t min; /* bytes that a broker leaves to the guest always, at least @size; 0: @size */
	bool huge_pages; /* back by MFD_HUGETLB (2 MiB pages) */
	bool dump;	 /* include guest memory in core dumps */
};

/*
 * Checks sizes against limits and what the host can give (memory_host.h). To be called before
 * memory_init(), which checks the size of RAM alone. -EINVAL, -ENOMEM. Any thread, before the jail
 * closes.
 */
int memory_check_config(const struct memory_config *config, struct error *err);

/*
 * Allocates RAM and installs the memslots in @vm_fd. Before any vCPU runs. Huge pages are all
 * taken from the host's pool here: the guest cannot run into an empty pool later.
 * -EINVAL (size), -ENOMEM (more than the host has, or too few huge pages), -errno.
 */
int memory_init(struct guest_memory *memory, int vm_fd, const struct memory_config *config,
		struct error *err);
/* Unmaps everything. No vCPU or device may run any more. */
void memory_destroy(struct guest_memory *memory);

/*
 * Maps a window of @size bytes of the memfd @fd that is not RAM: beyond all other regions, at a
 * multiple of 1 GiB. @limit: the first address that the guest's CPUs cannot reach.
 * *@region lives as long as the VM. -ERANGE: beyond @limit.
 */
int memory_window_add(struct guest_memory *memory, uint64_t size, int fd, uint64_t limit,
		      const struct memory_region **region, struct error *err);

/*
 * The one checked way from a guest-physical address to host memory: the HVA of [@gpa, @gpa +
 * @length), or NULL unless the whole range lies in one RAM region, and is plugged. Length 0 is
 * refused. Any thread. In boot-time RAM the result is valid as long as the VM. Plugged memory may
 * be unplugged, but only by the I/O loop's thread, after virtio_devices_quiesce(), so only that
 * thread may use such a result.
 */
void *memory_translate(const struct guest_memory *memory, uint64_t gpa, uint64_t length);
/*
 * The same for boot-time RAM alone, which never goes away: for results that are kept, or that other
 * threads use.
 */
void *memory_translate_fixed(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Backs the 2 MiB blocks around [@gpa, @gpa + @length) with huge pages now, best effort, contents
 * kept. For memory that is about to be filled whole: one fault per block instead of one per 4 KiB,
 * the host's and then the guest's. Other blocks stay unallocated. Any thread.
 */
void memory_back_huge(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Makes [@gpa, @gpa + @length), whole 4 KiB pages in one region of RAM, zero, and gives its pages
 * back to the host. Huge pages of the pool are zeroed and kept: they were promised to this VM, and
 * another process could take them meanwhile. The range must not be in use: vCPUs are parked, or the
 * guest gave it away, and there is no DMA on it. -EINVAL (no whole pages), -EFAULT (not RAM, or not
 * plugged). Any thread. fallocate(2), FALLOC_FL_PUNCH_HOLE.
 */
int memory_discard(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/* Copy from and to guest RAM; -EFAULT unless the whole range is RAM. Any thread. */
int memory_read(const struct guest_memory *memory, uint64_t gpa, void *data, uint64_t length);
int memory_write(const struct guest_memory *memory, uint64_t gpa, const void *data,
		 uint64_t length);

/*
 * Dirty logging (KVM_MEM_LOG_DIRTY_PAGES) of all RAM on or off, for snapshots
 * and migration. Any thread. memory_dirty_fetch() reads and clears the log of
 * region @index into @bitmap (one bit per 4 KiB page, @bytes long).
 */
int memory_dirty_log(struct guest_memory *memory, bool enable);
int memory_dirty_fetch(struct guest_memory *memory, unsigned index, void *bitmap, size_t bytes);

#endif
