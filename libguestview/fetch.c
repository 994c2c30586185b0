// SPDX-License-Identifier: BSD-2-Clause
#include "fetch.h"

#include <errno.h>

#include "guest_clock.h"

#define RETRY_NS 2000000 /* between two calls while the guest makes the listing */

/*
 * One step of the listing: makes its call, and again while the guest says that it is not ready.
 * Returns the guest's answer, 0 or more, or -errno with words.
 */
static int64_t fetch_call(const struct guest *guest, const struct guest_limit *limit,
			  const struct guest_listing *listing, struct sym_call_request *request,
			  size_t *length, struct guest_error *err)
{
	const struct guest_limit own = {guest_now_ns() + GUEST_FETCH_WAIT_MS * GUEST_NS_PER_MS,
					NULL};
	struct sym_call_result result;
	int status;

	while (guest_limit_left_ms(&own) && guest_limit_left_ms(limit)) {
		status = guest_call(guest, 0, limit, request, &result, err);
		if (status < 0)
			return status;
		if (result.value != -EAGAIN && result.value != -EBUSY) {
			*length = result.message_length;
			if (result.value >= 0)
				return result.value;
			if (result.value == -ENOSYS ||
			    (result.value == -EINVAL && request->args[2]))
				return guest_error_set(err, -EOPNOTSUPP,
						       "the guest's module is too old for its %s",
						       listing->name);
			return guest_error_set(err, -EIO, "the guest could not make its %s (%lld)",
					       listing->name, (long long)result.value);
		}
		guest_sleep_ns(RETRY_NS);
	}
	return guest_error_set(err, -ETIMEDOUT, "the guest did not make its %s in time",
			       listing->name);
}

/* Asks for the listing: its cookie, above 0, or -errno with words. */
static int64_t fetch_begin(const struct guest *guest, const struct guest_limit *limit,
			   const struct guest_listing *listing, struct guest_error *err)
{
	struct sym_call_request request = {
		.number = listing->number,
		.args = {0, 0, listing->flags},
	};
	size_t length;
	int64_t cookie = fetch_call(guest, limit, listing, &request, &length, err);

	return cookie ? cookie
		      : guest_error_set(err, -EPROTO, "the guest gave no %s", listing->name);
}

/* The next piece of the listing @cookie, into @piece: its bytes, 0 at the end, or -errno. */
static int64_t fetch_piece(const struct guest *guest, const struct guest_limit *limit,
			   const struct guest_listing *listing, int64_t cookie, uint64_t offset,
			   uint8_t piece[SYM_MESSAGE_SIZE], struct guest_error *err)
{
	struct sym_call_request request = {
		.number = listing->number,
		.args = {(uint64_t)cookie, offset, 0},
		.message = piece,
		.message_size = SYM_MESSAGE_SIZE - SYM_MESSAGE_SIZE % listing->record,
	};
	size_t length = 0;
	int64_t got = fetch_call(guest, limit, listing, &request, &length, err);

	if (got < 0)
		return got;
	/* The engine takes the answer for the message's length. The bytes that it copied count. */
	if ((uint64_t)got != length || length % listing->record != 0)
		return guest_error_set(err, -EPROTO, "the guest's %s ends inside of a record",
				       listing->name);
	return got;
}

int guest_fetch(const struct guest *guest, const struct guest_limit *limit,
		const struct guest_listing *listing,
		int (*each)(const void *record, void *opaque, struct guest_error *err),
		void *opaque, bool *complete, struct guest_error *err)
{
	uint8_t piece[SYM_MESSAGE_SIZE];
	int64_t cookie = fetch_begin(guest, limit, listing, err), length;
	uint64_t offset = 0;
	size_t count = 0;

	*complete = false;
	if (cookie < 0)
		return (int)cookie;
	while (count < listing->max) {
		length = fetch_piece(guest, limit, listing, cookie, offset, piece, err);
		*complete = length == 0;
		if (length <= 0)
			return (int)length;
		offset += (uint64_t)length;
		for (int64_t at = 0; at < length && count < listing->max; count++) {
			int status = each(piece + at, opaque, err);

			if (status)
				return status < 0 ? status : 0;
			at += (int64_t)listing->record;
		}
	}
	return 0;
}
