// SPDX-License-Identifier: BSD-2-Clause
/* The store's engine, not there yet: slots stay in the window, whatever the budget. */
#include <errno.h>

#include "swap/internal.h"

int swap_store_guard(struct swap_store *store, void *hva, struct error *err)
{
	return 0;
}
int swap_store_reserve(struct swap_store *store, uint64_t slot)
{
	swap_count(store, reserves, 1);
	return slot < store->slot_count ? 0 : -EINVAL;
}
int swap_store_fetch(struct swap_store *store, uint64_t slot)
{
	swap_count(store, fetches, 1);
	return slot < store->slot_count ? 0 : -EINVAL;
}
int swap_store_save(struct swap_store *store, struct state_writer *writer)
{
	return -ENOSYS;
}
int swap_store_load(struct swap_store *store, struct state_reader *reader)
{
	return -ENOSYS;
}
int spill_open(const char *where, uint64_t blocks, struct spill **spill, struct error *err)
{
	return error_set(err, -ENOSYS, "--swap: spill= is not there yet");
}
void swap_pressure_update_locked(struct swap_store *store)
{
}
void *swap_scan_thread(void *store)
{
	return NULL;
}
void *swap_event_thread(void *store)
{
	return NULL;
}
void *swap_fault_thread(void *store)
{
	return NULL;
}
void *swap_spill_thread(void *store)
{
	return NULL;
}
