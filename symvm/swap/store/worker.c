// SPDX-License-Identifier: BSD-2-Clause
/* Setup of the store's threads: their jail, and buffers to move slots with. */
#include <pthread.h>
#include <stdlib.h>

#include "jail/jail.h"
#include "swap/store/store_internal.h"

struct swap_evictor *swap_evictor_create(const struct swap_codec_library *codec)
{
	struct swap_evictor *evictor = aligned_alloc(SLOT_SIZE, sizeof(*evictor));

	if (!evictor)
		return NULL;
	evictor->count = 0;
	evictor->codec = swap_codec_create(codec);
	if (!evictor->codec) {
		free(evictor);
		return NULL;
	}
	return evictor;
}

void swap_evictor_destroy(struct swap_evictor *evictor)
{
	if (evictor)
		swap_codec_destroy(evictor->codec);
	free(evictor);
}

bool swap_thread_enter(struct swap_store *store, const char *name, bool ready)
{
	struct error err;

	pthread_setname_np(pthread_self(), name);
	if (!ready) {
		log_error(store->log, "swap%u: %s: out of memory", store->config.index, name);
	} else if (jail_enter_thread(store->jail, JAIL_THREAD_SWAP, &err) < 0) {
		log_error(store->log, "swap%u: %s", store->config.index, err.text);
		ready = false;
	}
	swap_lock(store);
	store->threads_entered++;
	store->threads_failed += !ready;
	pthread_cond_broadcast(&store->room);
	swap_unlock(store);
	return ready;
}
