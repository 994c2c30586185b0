// SPDX-License-Identifier: BSD-2-Clause
/*
 * A spill store at an NBD server, by libnbd, which is loaded only if a VM asks for it: it brings
 * TLS and XML libraries along. Connections are made before the jail closes and never again: if one
 * breaks, the slots behind it are lost.
 */
#include <errno.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "swap/spill/spill.h"
#include "util/clock.h"
#include "util/dlopen.h"

#define NBD_LIBRARY	"libnbd.so.0"
#define NBD_TIMEOUT_SEC 30 /* for one block; then the server counts as gone */
#define NBD_POLL_MS	100

/* Versions of clang-format wrap this differently. */
/* clang-format off */
#define NBD_FUNCTIONS(X) \
	X(create) \
	X(close) \
	X(connect_uri) \
	X(get_size) \
	X(can_multi_conn) \
	X(is_read_only) \
	X(aio_pread) \
	X(aio_pwrite) \
	X(aio_command_completed) \
	X(poll) \
	X(get_error) \
	X(get_errno)
/* clang-format on */

struct nbd_calls {
#define NBD_POINTER(name) __typeof__(&nbd_##name) name;
	NBD_FUNCTIONS(NBD_POINTER)
#undef NBD_POINTER
};

struct nbd_lane {
	pthread_mutex_t lock;
	struct nbd_handle *handle;
	bool dead;
};

struct spill_nbd {
	struct spill spill;
	struct nbd_calls nbd;
	_Atomic bool stopping;
	struct nbd_lane lane[SPILL_LANES];
};

static int calls_load(struct nbd_calls *calls, struct error *err)
{
	static const struct dlopen_function functions[] = {
#define NBD_ENTRY(name) {"nbd_" #name, offsetof(struct nbd_calls, name)},
		NBD_FUNCTIONS(NBD_ENTRY)
#undef NBD_ENTRY
	};

	return dlopen_load(NBD_LIBRARY, functions, sizeof(functions) / sizeof(functions[0]), calls,
			   "--swap: spill=nbd", err);
}

static int last_error(struct spill_nbd *nbd)
{
	int number = nbd->nbd.get_errno();

	/* EINVAL: the connection is gone, so its state does not allow the call. */
	return number > 0 && number != EINVAL ? -number : -EIO;
}

/* Waits for a command that was sent, for a bounded time. */
static int wait_for(struct spill_nbd *nbd, struct nbd_lane *lane, int64_t cookie)
{
	uint64_t until = clock_now_ns() + NBD_TIMEOUT_SEC * NS_PER_SECOND;
	int done;

	for (;;) {
		done = nbd->nbd.aio_command_completed(lane->handle, (uint64_t)cookie);
		if (done > 0)
			return 0;
		if (done < 0)
			return last_error(nbd);
		if (nbd->stopping || clock_now_ns() >= until) {
			lane->dead = true;
			return nbd->stopping ? -ECANCELED : -ETIMEDOUT;
		}
		if (nbd->nbd.poll(lane->handle, NBD_POLL_MS) < 0) {
			lane->dead = true;
			return last_error(nbd);
		}
	}
}

static int nbd_transfer(struct spill *spill, unsigned number, uint64_t block, unsigned count,
			void *in, const void *out)
{
	struct spill_nbd *nbd = (struct spill_nbd *)spill;
	struct nbd_lane *lane = &nbd->lane[number % spill->lanes];
	uint64_t offset = block * SPILL_BLOCK;
	size_t length = (size_t)count * SPILL_BLOCK;
	int status = -ENOTCONN;
	int64_t cookie;

	pthread_mutex_lock(&lane->lock);
	if (!lane->dead) {
		cookie = in ? nbd->nbd.aio_pread(lane->handle, in, length, offset,
						 NBD_NULL_COMPLETION, 0)
			    : nbd->nbd.aio_pwrite(lane->handle, out, length, offset,
						  NBD_NULL_COMPLETION, 0);
		status = cookie < 0 ? last_error(nbd) : wait_for(nbd, lane, cookie);
	}
	pthread_mutex_unlock(&lane->lock);
	return status;
}

static int nbd_read(struct spill *spill, unsigned lane, uint64_t block, void *data, unsigned count)
{
	return nbd_transfer(spill, lane, block, count, data, NULL);
}

static int nbd_write(struct spill *spill, unsigned lane, uint64_t block, const void *data,
		     unsigned count)
{
	return nbd_transfer(spill, lane, block, count, NULL, data);
}

static void nbd_stop(struct spill *spill)
{
	((struct spill_nbd *)spill)->stopping = true;
}

static void nbd_free(struct spill *spill)
{
	struct spill_nbd *nbd = (struct spill_nbd *)spill;

	for (unsigned i = 0; i < SPILL_LANES; i++) {
		if (nbd->lane[i].handle)
			nbd->nbd.close(nbd->lane[i].handle);
		pthread_mutex_destroy(&nbd->lane[i].lock);
	}
	free(nbd);
}

static const struct spill_ops nbd_ops = {
	.read = nbd_read,
	.write = nbd_write,
	.stop = nbd_stop,
	.close = nbd_free,
};

static int lane_open(struct spill_nbd *nbd, unsigned number, const char *uri, uint64_t blocks,
		     struct error *err)
{
	struct nbd_handle *handle = nbd->lane[number].handle = nbd->nbd.create();
	int64_t size;

	if (!handle || nbd->nbd.connect_uri(handle, uri) < 0)
		return error_set(err, -EIO, "--swap: spill=%s: %s", uri, nbd->nbd.get_error());
	if (nbd->nbd.is_read_only(handle) > 0)
		return error_set(err, -EROFS, "--swap: spill=%s is read-only", uri);
	size = nbd->nbd.get_size(handle);
	if (size < 0 || (uint64_t)size < blocks * SPILL_BLOCK)
		return error_set(err, -ENOSPC, "--swap: spill=%s has %lld bytes, %llu are needed",
				 uri, (long long)size, (unsigned long long)(blocks * SPILL_BLOCK));
	return 0;
}

int spill_nbd_open(const char *uri, uint64_t blocks, struct spill **spill, struct error *err)
{
	struct spill_nbd *nbd = calloc(1, sizeof(*nbd));
	int status;

	if (!nbd)
		return error_set(err, -ENOMEM, "--swap: out of memory");
	nbd->spill = (struct spill){.ops = &nbd_ops, .lanes = 1};
	for (unsigned i = 0; i < SPILL_LANES; i++)
		pthread_mutex_init(&nbd->lane[i].lock, NULL);
	status = calls_load(&nbd->nbd, err);
	if (status == 0)
		status = lane_open(nbd, 0, uri, blocks, err);
	/* Otherwise one connection need not see what another one wrote. */
	while (status == 0 && nbd->spill.lanes < SPILL_LANES &&
	       nbd->nbd.can_multi_conn(nbd->lane[0].handle) > 0) {
		status = lane_open(nbd, nbd->spill.lanes, uri, blocks, err);
		nbd->spill.lanes++;
	}
	if (status < 0) {
		nbd_free(&nbd->spill);
		return status;
	}
	*spill = &nbd->spill;
	return 0;
}
