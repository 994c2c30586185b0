// SPDX-License-Identifier: BSD-2-Clause
/*
 * A spill store under attack. A file has any header and contents: the store takes it, or leaves
 * each byte alone. Later its contents change behind the store's back: a slot may only ever show
 * the data that were written to it, or that it is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Included for its functions: no thread runs here. */
#include "swap/store/writeback.c"
#include "swap/spill/spill_file.h"
#include "jail/jail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB    (1ull << 20)
#define BLOCKS 4u
#define DEVICE (3 * MIB)
#define MAGIC  "SymVM slots\n"

static char path[64];
static int file = -1;

int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err)
{
	return 0;
}

int spill_nbd_open(const char *uri, uint64_t blocks, struct spill **spill, struct error *err)
{
	return error_set(err, -EIO, "no NBD here");
}

static void file_make(const uint8_t *data, size_t size, off_t length)
{
	if (file < 0) {
		snprintf(path, sizeof(path), "/dev/shm/symvm-fuzz-%d", (int)getpid());
		file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	if (file < 0 || ftruncate(file, 0) < 0 || ftruncate(file, length) < 0 ||
	    pwrite(file, data, size, 0) != (ssize_t)size)
		abort();
}

/* Whether [@from, @from + @length) of the file is zero. */
static bool zeros(off_t from, size_t length)
{
	static uint8_t block[4096];

	for (size_t done = 0; done < length; done += sizeof(block)) {
		if (pread(file, block, sizeof(block), from + (off_t)done) != sizeof(block))
			abort();
		for (size_t i = 0; i < sizeof(block); i++)
			if (block[i])
				return false;
	}
	return true;
}

/* The rest of the input lies at an offset that its first bytes give. */
static void try_device(const uint8_t *data, size_t size)
{
	struct error err = {""};
	char magic[sizeof(MAGIC)];
	off_t at;
	int status;

	if (size < 3)
		return;
	at = (off_t)(data[0] << 8 | data[1]) * 64 % (off_t)(DEVICE - 65536);
	size = size > 65536 ? 65536 : size;
	file_make(data, 0, DEVICE);
	if (pwrite(file, data + 2, size - 2, at) < 0)
		abort();
	status = spill_device_check(file, path, DEVICE, BLOCKS, &err);
	if (status < 0 && !err.text[0])
		abort();
	if (status < 0)
		return;
	if (pread(file, magic, sizeof(magic), 0) != sizeof(magic))
		abort();
	if ((memcmp(magic, MAGIC, sizeof(MAGIC)) != 0 && !zeros(0, 4096)) ||
	    !zeros(4096, MIB - 4096) || !zeros(DEVICE - MIB, MIB))
		abort();
}

static void try_file(const uint8_t *data, size_t size)
{
	bool ours = size == 0 || (size >= 4096 && memcmp(data, MAGIC, sizeof(MAGIC)) == 0);
	struct error err = {""};
	struct spill *spill;
	struct stat what;
	int status;

	file_make(data, size, (off_t)size);
	status = spill_open(path, BLOCKS, &spill, &err);
	if ((status == 0) != ours || fstat(file, &what) < 0)
		abort();
	if (status == 0) {
		spill->ops->close(spill);
		return;
	}
	/* Left alone. */
	if ((size_t)what.st_size != size)
		abort();
	for (size_t i = 0; i < size; i += 4096) {
		uint8_t block[4096];
		size_t length = size - i < 4096 ? size - i : 4096;

		if (pread(file, block, length, (off_t)i) != (ssize_t)length ||
		    memcmp(block, data + i, length) != 0)
			abort();
	}
}

/* The contents of slot @slot, which the input gives. */
static void page_fill(uint8_t page[SLOT_SIZE], uint32_t slot, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < SLOT_SIZE; i++)
		page[i] = (uint8_t)(data[(i + slot * 7) % size] * (i * i % 251 * slot + 1));
}

static void slot_check(struct swap_store *store, uint32_t slot, const uint8_t *data, size_t size)
{
	uint8_t page[SLOT_SIZE], wanted[SLOT_SIZE];
	uint32_t state = SYM_SLOT_STATE(swap_word(store, slot));

	page_fill(wanted, slot, data, size);
	if (state == SYM_SLOT_FAILED || state == SYM_SLOT_STORED)
		return;
	if (state != SYM_SLOT_RESIDENT ||
	    pread(store->fd, page, SLOT_SIZE, (off_t)swap_slot_offset(store, slot)) != SLOT_SIZE ||
	    memcmp(page, wanted, SLOT_SIZE) != 0)
		abort();
}

#define SLOTS 16u

static void slots_write(struct swap_store *store, const uint8_t *data, size_t size)
{
	uint8_t page[SLOT_SIZE];

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		if (swap_store_reserve(store, slot) < 0)
			abort();
		page_fill(page, slot, data, size);
		if (pwrite(store->fd, page, SLOT_SIZE, (off_t)swap_slot_offset(store, slot)) !=
		    SLOT_SIZE)
			abort();
		store->words[slot] = SYM_SLOT_RESIDENT;
	}
}

/* Moves the slots out to the file, changes them there, and reads them back. */
static void try_contents(const uint8_t *data, size_t size)
{
	static uint8_t buffer[SPILL_RUN * SPILL_BLOCK] __attribute__((aligned(4096)));
	struct swap_config config = {.size = MIB, .budget = MIB, .codec = SWAP_CODEC_LZ4};
	struct swap_store *store;
	struct error err = {""};
	struct log log;

	if (size < 8)
		return;
	log_init(&log, -1, LOG_LEVEL_ERROR);
	log.level = -1;
	file_make(data, 0, 0);
	config.spill = path;
	if (swap_store_create(&config, &log, &store, &err) < 0)
		abort();
	slots_write(store, data, size);
	for (unsigned i = 0; i < 4; i++)
		swap_evict(store, store->sync_evictor, 0, BATCH_SLOTS);
	pthread_mutex_lock(&store->lock);
	for (unsigned i = 0; i < 2 * SLOTS; i++)
		writeback_some_locked(store, 0, buffer);
	for (size_t i = 0; i + 4 <= size && i < 256; i += 4) {
		off_t at = (off_t)MIB + (data[i] % SLOTS) * SLOT_SIZE +
			   (data[i + 1] << 8 | data[i + 2]) % SLOT_SIZE;

		/* Changes only a few of them, so that others come back. */
		if (data[i + 3] < 16 && pwrite(file, &data[i + 3], 1, at) < 0)
			abort();
	}
	if (data[7] < 8 && ftruncate(file, (off_t)MIB + data[6] * 512) < 0)
		abort();
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		pthread_mutex_unlock(&store->lock);
		swap_store_fetch(store, slot);
		pthread_mutex_lock(&store->lock);
		fetch_slots(store, store->evictor, 0, fetch_next_locked(store) == slot ? slot : 0,
			    buffer);
		slot_check(store, slot, data, size);
	}
	pthread_mutex_unlock(&store->lock);
	swap_store_destroy(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	switch (data[0] % 4) {
	case 0:
		try_device(data + 1, size - 1);
		break;
	case 1:
		try_file(data + 1, size - 1);
		break;
	default:
		try_contents(data + 1, size - 1);
	}
	return 0;
}
