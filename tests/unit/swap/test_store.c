// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest.h"
#include "util/serialize.h"

#define SIZE   (32 * MIB)
#define BUDGET (8 * MIB)
#define SLOTS  ((uint32_t)(SIZE / 4096))

static uint8_t page[4096], wanted[4096];

static void bounded(struct guest *guest)
{
	uint64_t used = swap_store_used(guest->store);

	assert_true(used <= swap_store_budget(guest->store) + OVERRUN);
	assert_true(guest_slot_bytes(guest) <= swap_store_budget(guest->store) + OVERRUN);
}

static void write_all(struct guest *guest, uint64_t seed, bool compressible)
{
	for (uint32_t slot = 0; slot < guest->count; slot++) {
		guest_fill(page, seed + slot, compressible);
		assert_int_equal(guest_write(guest, slot, page), 0);
		if (slot % 64 == 0)
			bounded(guest);
	}
}

static void verify_all(struct guest *guest, uint64_t seed, bool compressible)
{
	for (uint32_t slot = 0; slot < guest->count; slot++) {
		guest_fill(wanted, seed + slot, compressible);
		assert_int_equal(guest_read(guest, slot, page), 0);
		assert_memory_equal(page, wanted, sizeof(page));
		if (slot % 64 == 0)
			bounded(guest);
	}
}

static void keeps_contents(enum swap_codec_kind codec)
{
	struct guest guest;

	guest_create(&guest, SIZE, BUDGET, codec, NULL);
	write_all(&guest, 1, true);
	verify_all(&guest, 1, true);
	write_all(&guest, 100000, true);
	verify_all(&guest, 100000, true);
	assert_true(guest_counter(&guest, "compressed") > 0);
	assert_true(guest_counter(&guest, "fetched") > 0);
	assert_int_equal(guest_counter(&guest, "failed"), 0);
	assert_int_equal(guest_counter(&guest, "violations"), 0);
	guest_destroy(&guest);
}

static void test_contents_survive_lz4(void **state)
{
	keeps_contents(SWAP_CODEC_LZ4);
}

static void test_contents_survive_zstd(void **state)
{
	keeps_contents(SWAP_CODEC_ZSTD);
}

static void test_full_without_anywhere_to_go(void **state)
{
	struct guest guest;
	uint32_t slot;
	int status = 0;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, NULL);
	for (slot = 0; slot < guest.count && status == 0; slot++) {
		guest_fill(page, slot, false);
		status = guest_write(&guest, slot, page);
	}
	assert_int_equal(status, -ENOSPC);
	assert_true(slot > BUDGET / 4096 * 8 / 10);
	bounded(&guest);
	for (uint32_t i = 0; i < slot - 1; i++) {
		guest_fill(wanted, i, false);
		assert_int_equal(guest_read(&guest, i, page), 0);
		assert_memory_equal(page, wanted, sizeof(page));
	}
	/* Freed slots make room at once. */
	for (uint32_t i = 0; i < 100; i++)
		guest_free(&guest, i);
	for (uint32_t i = 0; i < 90; i++)
		assert_int_equal(guest_write(&guest, slot + i, page), 0);
	guest_destroy(&guest);
}

static void test_filled_pages_cost_nothing(void **state)
{
	struct swap_usage usage;
	struct guest guest;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_NONE, NULL);
	for (uint32_t slot = 0; slot < guest.count; slot++) {
		memset(page, (int)slot, sizeof(page));
		assert_int_equal(guest_write(&guest, slot, page), 0);
	}
	for (uint32_t slot = 0; slot < guest.count; slot++) {
		memset(wanted, (int)slot, sizeof(wanted));
		assert_int_equal(guest_read(&guest, slot, page), 0);
		assert_memory_equal(page, wanted, sizeof(page));
	}
	sleep_ms(600);
	swap_store_usage(guest.store, &usage);
	assert_int_equal(usage.compressed, 0);
	assert_true(usage.states[SYM_SLOT_STORED] > guest.count / 2);
	guest_destroy(&guest);
}

static void test_freed_slots_are_punched(void **state)
{
	struct guest guest;

	guest_create(&guest, SIZE, SIZE, SWAP_CODEC_LZ4, NULL);
	write_all(&guest, 7, true);
	assert_true(guest_slot_bytes(&guest) >= SIZE - MIB);
	for (uint32_t slot = 0; slot < guest.count; slot++)
		guest_free(&guest, slot);
	sleep_ms(1200);
	assert_int_equal(swap_store_used(guest.store), 0);
	assert_true(guest_slot_bytes(&guest) < MIB);
	guest_destroy(&guest);
}

static void test_budget_lowered_below_use(void **state)
{
	struct error err;
	struct guest guest;

	guest_create(&guest, SIZE, SIZE, SWAP_CODEC_LZ4, NULL);
	write_all(&guest, 5, true);
	assert_int_equal(swap_store_set_budget(guest.store, 1, &err), -EINVAL);
	assert_int_equal(swap_store_set_budget(guest.store, BUDGET, &err), 0);
	for (int i = 0; i < 100 && swap_store_used(guest.store) > BUDGET; i++)
		sleep_ms(100);
	assert_true(swap_store_used(guest.store) <= BUDGET);
	verify_all(&guest, 5, true);
	/* The store never takes mapped slots: it asks for them. */
	assert_int_equal(swap_store_set_budget(guest.store, SIZE, &err), 0);
	for (uint32_t slot = 0; slot < guest.count; slot++) {
		assert_int_equal(guest_read(&guest, slot, page), 0);
		__atomic_store_n(&guest.words[slot], SYM_SLOT_MAPPED, __ATOMIC_RELEASE);
	}
	assert_int_equal(swap_store_set_budget(guest.store, BUDGET, &err), 0);
	sleep_ms(600);
	assert_true(swap_store_used(guest.store) >= SIZE);
	assert_true(guest.header->revoke_wanted >= (SIZE - BUDGET) / 4096);
	assert_true(guest.header->flags & SYM_SWAP_FULL);
	guest_destroy(&guest);
}

static void test_reset_empties(void **state)
{
	struct guest guest;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, NULL);
	write_all(&guest, 3, true);
	swap_store_reset(guest.store);
	assert_int_equal(swap_store_used(guest.store), 0);
	for (uint32_t slot = 0; slot < guest.count; slot++)
		assert_int_equal(guest.words[slot], SYM_SLOT_FREE);
	write_all(&guest, 4, true);
	verify_all(&guest, 4, true);
	guest_destroy(&guest);
}

static void test_save_and_load(void **state)
{
	struct serialize_writer writer = {0};
	struct serialize_reader reader;
	struct guest guest;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, NULL);
	write_all(&guest, 9, true);
	assert_int_equal(swap_store_save(guest.store, &writer), 0);
	guest_destroy(&guest);
	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_ZSTD, NULL);
	reader = (struct serialize_reader){.data = writer.data, .length = writer.length};
	assert_int_equal(swap_store_load(guest.store, &reader), 0);
	bounded(&guest);
	verify_all(&guest, 9, true);
	for (size_t cut = 1; cut < writer.length; cut = cut * 2 + 1) {
		reader = (struct serialize_reader){.data = writer.data, .length = cut};
		assert_true(swap_store_load(guest.store, &reader) < 0);
	}
	serialize_writer_free(&writer);
	guest_destroy(&guest);
}

struct racer {
	struct guest *guest;
	uint32_t first, count;
	uint64_t seed;
	bool compressible;
	unsigned wrong;
	_Atomic uint64_t operations;
	_Atomic bool *stop;
};

/* Writes, reads, maps and frees its own slots at random, and knows the contents of each. */
static void *racer_run(void *opaque)
{
	struct racer *racer = opaque;
	uint64_t *seeds = calloc(racer->count, sizeof(*seeds)), z = racer->seed;
	uint8_t out[4096], in[4096];

	while (!atomic_load(racer->stop)) {
		uint32_t i, slot;

		z ^= z << 13;
		z ^= z >> 7;
		z ^= z << 17;
		i = (uint32_t)(z >> 8) % racer->count;
		slot = racer->first + i;
		racer->operations++;
		if (z % 4 == 0) {
			guest_free(racer->guest, slot);
			seeds[i] = 0;
		} else if (z % 4 == 1 || seeds[i] == 0) {
			guest_fill(out, z | 1, racer->compressible);
			int status = guest_write(racer->guest, slot, out);

			if (status == 0)
				seeds[i] = z | 1;
			else
				racer->wrong += status != -ENOSPC;
		} else {
			guest_fill(out, seeds[i], racer->compressible);
			racer->wrong += guest_read(racer->guest, slot, in) != 0 ||
					memcmp(in, out, sizeof(in)) != 0;
		}
	}
	free(seeds);
	return NULL;
}

/* Waits until each of them has worked: a busy machine may take a while. */
static bool raced(const struct racer *racers)
{
	for (unsigned i = 0; i < 3; i++)
		if (racers[i].operations <= 1000)
			return false;
	return true;
}

static void race(enum swap_codec_kind codec, const char *spill, bool compressible)
{
	struct racer racers[3];
	pthread_t threads[3];
	_Atomic bool stop = false;
	struct guest guest;

	guest_create(&guest, SIZE, BUDGET, codec, spill);
	for (unsigned i = 0; i < 3; i++) {
		racers[i] = (struct racer){.guest = &guest,
					   .first = i * SLOTS / 3,
					   .count = SLOTS / 3,
					   .seed = i + 12345,
					   .compressible = compressible,
					   .stop = &stop};
		pthread_create(&threads[i], NULL, racer_run, &racers[i]);
	}
	for (int i = 0; i < 100 || (i < 4000 && !raced(racers)); i++) {
		struct error err;

		/* The bound holds for a budget that does not change. */
		if (i < 60)
			bounded(&guest);
		else
			swap_store_set_budget(guest.store, (i % 2 ? 6 : 12) * MIB, &err);
		sleep_ms(30);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(racers[i].wrong, 0);
	}
	assert_true(raced(racers));
	assert_int_equal(guest_counter(&guest, "violations"), 0);
	assert_int_equal(guest_counter(&guest, "failed"), 0);
	guest_destroy(&guest);
}

static void test_race_with_compression(void **state)
{
	race(SWAP_CODEC_LZ4, NULL, true);
}

static void test_race_with_spilling(void **state)
{
	char path[] = "/tmp/symvm-spill-XXXXXX";

	close(mkstemp(path));
	race(SWAP_CODEC_LZ4, path, false);
	race(SWAP_CODEC_ZSTD, path, true);
	unlink(path);
}

static void *scribble(void *opaque)
{
	struct racer *racer = opaque;
	struct guest *guest = racer->guest;
	uint64_t z = racer->seed;

	while (!atomic_load(racer->stop)) {
		z ^= z << 13;
		z ^= z >> 7;
		z ^= z << 17;
		guest->words[(z >> 20) % guest->count] = (uint32_t)(z >> 40) & 0x1ff0f;
		if (z % 64 == 0)
			swap_store_fetch(guest->store, (z >> 20) % guest->count);
		if (z % 64 == 1)
			swap_store_reserve(guest->store, (z >> 20) % (guest->count + 1));
		if (z % 4096 == 2)
			memset((uint8_t *)guest->header, (int)z, 4096);
	}
	return NULL;
}

static void *touch(void *opaque)
{
	struct racer *racer = opaque;
	struct guest *guest = racer->guest;

	while (!atomic_load(racer->stop))
		for (uint32_t slot = 0; slot < guest->count && !atomic_load(racer->stop); slot++)
			__atomic_store_n(&guest->slots[(size_t)slot * 4096 + slot % 4096],
					 (uint8_t)slot, __ATOMIC_RELAXED);
	return NULL;
}

static void hostile(bool scribbles, uint32_t word, const char *spill)
{
	struct racer racer;
	pthread_t threads[3];
	_Atomic bool stop = false;
	struct guest guest;
	unsigned count = 0;
	/* The store gives up free slots before it exceeds the budget. */
	const char *awaited = !scribbles && word != SYM_SLOT_FREE ? "over_budget" : "faults";

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, spill);
	racer = (struct racer){.guest = &guest, .seed = 99, .stop = &stop};
	for (uint32_t slot = 0; slot < guest.count; slot++)
		guest.words[slot] = word;
	pthread_create(&threads[count++], NULL, touch, &racer);
	pthread_create(&threads[count++], NULL, touch, &racer);
	if (scribbles)
		pthread_create(&threads[count++], NULL, scribble, &racer);
	for (int i = 0; i < 300 || (i < 20000 && !guest_counter(&guest, awaited)); i++) {
		bounded(&guest);
		sleep_ms(5);
	}
	atomic_store(&stop, true);
	while (count)
		pthread_join(threads[--count], NULL);
	assert_true(guest_counter(&guest, awaited) > 0);
	/* The store is usable again after a reset. */
	swap_store_reset(guest.store);
	write_all(&guest, 77, true);
	verify_all(&guest, 77, true);
	guest_destroy(&guest);
}

static void test_hostile_touches_everything(void **state)
{
	hostile(false, SYM_SLOT_FREE, NULL);
}

static void test_hostile_claims_everything(void **state)
{
	hostile(false, SYM_SLOT_WRITING, NULL);
	hostile(false, SYM_SLOT_RESIDENT, NULL);
	hostile(false, SYM_SLOT_MAPPED, NULL);
	hostile(false, SYM_SLOT_OWNED, NULL);
}

static void test_hostile_scribbles(void **state)
{
	char path[] = "/tmp/symvm-spill-XXXXXX";

	close(mkstemp(path));
	hostile(true, SYM_SLOT_FREE, NULL);
	hostile(true, SYM_SLOT_RESIDENT, path);
	unlink(path);
}

static void test_bad_configuration(void **state)
{
	const struct swap_config bad[] = {
		{.size = 0},
		{.size = MIB + 4096},
		{.size = SWAP_SIZE_MAXIMUM + MIB},
		{.size = MIB, .budget = 4096},
		{.size = MIB, .spill = "/tmp"},
		{.size = MIB, .spill = "/nowhere/at/all"},
		{.size = MIB, .spill = "/dev/full"},
		{.size = MIB, .spill = "http://server/"},
		{.size = MIB, .spill = "/etc/passwd"},
		{.size = MIB, .spill = "nbd://127.0.0.1:1/x"},
	};
	struct swap_store *store;
	struct log log;

	log_init(&log, STDERR_FILENO, LOG_LEVEL_ERROR);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = {0};

		assert_true(swap_store_create(&bad[i], &log, &store, &err) < 0);
		assert_non_null(strstr(err.text, "--swap"));
		assert_null(strchr(err.text, '\n'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_configuration),
		cmocka_unit_test(test_contents_survive_lz4),
		cmocka_unit_test(test_contents_survive_zstd),
		cmocka_unit_test(test_full_without_anywhere_to_go),
		cmocka_unit_test(test_filled_pages_cost_nothing),
		cmocka_unit_test(test_freed_slots_are_punched),
		cmocka_unit_test(test_budget_lowered_below_use),
		cmocka_unit_test(test_reset_empties),
		cmocka_unit_test(test_save_and_load),
		cmocka_unit_test(test_race_with_compression),
		cmocka_unit_test(test_race_with_spilling),
		cmocka_unit_test(test_hostile_touches_everything),
		cmocka_unit_test(test_hostile_claims_everything),
		cmocka_unit_test(test_hostile_scribbles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
