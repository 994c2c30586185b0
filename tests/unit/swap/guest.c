// SPDX-License-Identifier: BSD-2-Clause
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE  4096u
#define TRIES 20000 /* of half a millisecond each */

void guest_create(struct guest *guest, uint64_t size, uint64_t budget, enum swap_codec_kind codec,
		  const char *spill)
{
	const struct swap_config config = {
		.size = size, .budget = budget, .codec = codec, .spill = spill};
	struct error err = {0};
	int status;

	memset(guest, 0, sizeof(*guest));
	log_init(&guest->log, STDERR_FILENO, LOG_LEVEL_ERROR);
	if (swap_store_create(&config, &guest->log, &guest->store, &err) < 0)
		fail_msg("%s", err.text);
	guest->fd = swap_store_window_fd(guest->store, &err);
	guest->window_size = swap_store_window_size(guest->store);
	guest->header = mmap(NULL, guest->window_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			     guest->fd, 0);
	assert_true(guest->header != MAP_FAILED);
	status = swap_store_guard(guest->store, guest->header, &err);
	if (status == -EPERM) {
		print_message("%s\n", err.text);
		skip();
	}
	if (status < 0)
		fail_msg("%s", err.text);
	if (swap_store_start(guest->store, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(guest->header->magic == SYM_SWAP_MAGIC);
	guest->count = (uint32_t)guest->header->slots;
	guest->words = (uint32_t *)((uint8_t *)guest->header + guest->header->words_offset);
	guest->slots = (uint8_t *)guest->header + guest->header->slots_offset;
}

void guest_destroy(struct guest *guest)
{
	swap_store_destroy(guest->store);
	munmap(guest->header, guest->window_size);
	close(guest->fd);
}

void guest_fill(uint8_t page[PAGE], uint64_t seed, bool compressible)
{
	uint64_t *words = (uint64_t *)page, z = seed * 0x9e3779b97f4a7c15ull + 1;
	size_t random = compressible ? PAGE / 64 : PAGE / 8;

	for (size_t i = 0; i < PAGE / 8; i++) {
		if (i < random) {
			z ^= z << 13;
			z ^= z >> 7;
			z ^= z << 17;
		}
		words[i] = z;
	}
}

static bool change(struct guest *guest, uint32_t slot, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&guest->words[slot], &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static uint32_t look(struct guest *guest, uint32_t slot)
{
	return __atomic_load_n(&guest->words[slot], __ATOMIC_ACQUIRE);
}

void sleep_ms(unsigned ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

static bool claim(struct guest *guest, uint32_t slot, int *status)
{
	uint32_t word = look(guest, slot), state = SYM_SLOT_STATE(word);
	bool fresh = state == SYM_SLOT_FREE || state == SYM_SLOT_STORED || state == SYM_SLOT_FAILED;

	if (fresh && (__atomic_load_n(&guest->header->flags, __ATOMIC_ACQUIRE) & SYM_SWAP_FULL)) {
		*status = swap_store_reserve(guest->store, slot);
		if (*status < 0)
			return true;
	}
	if ((fresh || word == SYM_SLOT_RESIDENT || word == SYM_SLOT_COPYING) &&
	    change(guest, slot, word, SYM_SLOT_WRITING))
		return true;
	return false;
}

int guest_write(struct guest *guest, uint32_t slot, const uint8_t page[PAGE])
{
	int status = 0;

	for (int i = 0; !claim(guest, slot, &status); i++) {
		if (i == TRIES)
			return -ETIMEDOUT;
		usleep(1);
	}
	if (status < 0)
		return status;
	memcpy(guest->slots + (size_t)slot * PAGE, page, PAGE);
	return change(guest, slot, SYM_SLOT_WRITING, SYM_SLOT_RESIDENT) ? 0 : -EIO;
}

static int read_resident(struct guest *guest, uint32_t slot, uint32_t word, uint8_t page[PAGE])
{
	if (!change(guest, slot, word, word + SYM_SLOT_READER))
		return -EAGAIN;
	memcpy(page, guest->slots + (size_t)slot * PAGE, PAGE);
	__atomic_fetch_sub(&guest->words[slot], SYM_SLOT_READER, __ATOMIC_RELEASE);
	return 0;
}

int guest_read(struct guest *guest, uint32_t slot, uint8_t page[PAGE])
{
	int status = -EAGAIN;

	for (int i = 0; i < TRIES && status == -EAGAIN; i++) {
		uint32_t word = look(guest, slot);

		switch (SYM_SLOT_STATE(word)) {
		case SYM_SLOT_RESIDENT:
			status = read_resident(guest, slot, word, page);
			break;
		case SYM_SLOT_COPYING:
			change(guest, slot, word, SYM_SLOT_RESIDENT);
			break;
		case SYM_SLOT_STORED:
			if (swap_store_fetch(guest->store, slot) < 0)
				usleep(500);
			break;
		case SYM_SLOT_FAILED:
			return -EIO;
		case SYM_SLOT_FREE:
			return -ENOENT;
		default:
			usleep(1);
			break;
		}
	}
	return status == -EAGAIN ? -ETIMEDOUT : status;
}

void guest_free(struct guest *guest, uint32_t slot)
{
	for (;;) {
		uint32_t word = look(guest, slot);

		if (SYM_SLOT_STATE(word) == SYM_SLOT_FREE)
			return;
		if (SYM_SLOT_STATE(word) == SYM_SLOT_OWNED) {
			if (change(guest, slot, word, word | SYM_SLOT_DISCARD))
				return;
		} else if (change(guest, slot, word, SYM_SLOT_FREE)) {
			return;
		}
	}
}

/* Leaves out the header and words. They are few, and the test can count them itself. */
uint64_t guest_slot_bytes(const struct guest *guest)
{
	uint64_t other = 4096 + (uint64_t)guest->count * 4;
	struct stat file;

	assert_int_equal(fstat(guest->fd, &file), 0);
	return (uint64_t)file.st_blocks * 512 > other ? (uint64_t)file.st_blocks * 512 - other : 0;
}

uint64_t guest_counter(const struct guest *guest, const char *name)
{
	const struct swap_counters *counters = swap_store_counters(guest->store);

#define MATCH(field, text)             \
	if (strcmp(name, #field) == 0) \
		return atomic_load(&counters->field);
	SWAP_COUNTERS(MATCH)
#undef MATCH
	fail_msg("no counter %s", name);
	return 0;
}
