// SPDX-License-Identifier: BSD-2-Clause
/*
 * One call from any thread. The calling thread borrows the vCPU's thread for sym_call(). A guest
 * can be at a point that allows no call (in an NMI, in the entry code). Then the call is tried
 * again a moment later, until its time is over.
 */
#include <errno.h>
#include <string.h>

#include "guestview.h"
#include "guest_clock.h"

#define RETRY_NS 500000 /* between two tries */

struct pending_call {
	struct sym_vcpu *engine;
	const struct sym_call_request *request;
	struct sym_call_result *result;
	int status;
};

static void call_on_vcpu(void *argument)
{
	struct pending_call *pending = argument;

	pending->status = sym_call(pending->engine, pending->request, pending->result);
}

static const char *call_strerror(int status)
{
	switch (status) {
	case -ENOTCONN:
		return "the guest has not registered this vCPU (is symbiotic.ko loaded?)";
	case -ENOTRECOVERABLE:
		return "calls on this vCPU are off since one was abandoned";
	case -EAGAIN:
	case -EBUSY:
		return "the guest was at no point that allows a call";
	case -EOPNOTSUPP:
		return "the guest uses CET shadow stacks or FRED, which calls do not support yet";
	case -ETIMEDOUT:
		return "the guest did not answer in time";
	case -EPROTO:
		return "the guest's answer has a wrong length";
	default:
		return strerror(-status);
	}
}

/* Milliseconds until the earlier of @end and the limit; 0: over. */
static unsigned try_ms(const struct guest_limit *limit, uint64_t end)
{
	const struct guest_limit own = {.end_ns = end};
	uint64_t left = guest_limit_left_ms(limit), most = guest_limit_left_ms(&own);

	return (unsigned)(left < most ? left : most);
}

/* The engine refuses such a message, too. The answer passes no length unchecked. */
static int check_message(const struct sym_call_request *request,
			 const struct sym_call_result *result)
{
	size_t most = request->message ? request->message_size : 0;

	return result->message_length > most ? -EPROTO : 0;
}

/* One try: 0, -EAGAIN or -EBUSY (try again), or another error. */
static int call_try(const struct guest *guest, unsigned vcpu, struct pending_call *pending,
		    unsigned timeout_ms)
{
	int status;

	*pending->result = (struct sym_call_result){0};
	pending->engine = guest->ops->engine(guest->opaque, vcpu);
	pending->status = -EAGAIN;
	status = guest->ops->run_on(guest->opaque, vcpu, call_on_vcpu, pending, timeout_ms);
	if (status == 0)
		status = pending->status;
	return status == 0 ? check_message(pending->request, pending->result) : status;
}

int guest_call(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
	       const struct sym_call_request *request, struct sym_call_result *result,
	       struct guest_error *err)
{
	struct pending_call pending = {.request = request, .result = result};
	uint64_t end = guest_now_ns() + GUEST_CALL_TIMEOUT_MS * GUEST_NS_PER_MS;
	unsigned count = guest->ops->vcpu_count(guest->opaque);
	int status;

	for (;;) {
		unsigned ms = try_ms(limit, end);

		/* Before each try: the VM may be paused, reset or ended between two of them. */
		status = guest->ops->check(guest->opaque, err);
		if (status < 0)
			return status;
		if (vcpu >= count)
			return guest_error_set(err, -ENXIO, "vCPU %u: this VM has vCPUs 0 to %u",
					       vcpu, count - 1);
		status = ms ? call_try(guest, vcpu, &pending, ms) : -ETIMEDOUT;
		if (status != -EAGAIN && status != -EBUSY)
			break;
		guest_sleep_ns(RETRY_NS);
	}
	if (status < 0)
		return guest_error_set(err, status, "vCPU %u: %s", vcpu, call_strerror(status));
	return 0;
}

int guest_call_any(const struct guest *guest, unsigned *vcpu, const struct guest_limit *limit,
		   const struct sym_call_request *request, struct sym_call_result *result,
		   struct guest_error *err)
{
	unsigned count = guest->ops->vcpu_count(guest->opaque);
	int status;

	for (;; (*vcpu)++) {
		status = guest_call(guest, *vcpu, limit, request, result, err);
		if (status != -ETIMEDOUT && status != -ENOTCONN && status != -ENOTRECOVERABLE)
			return status;
		if (*vcpu + 1 >= count || !guest_limit_left_ms(limit))
			return status;
	}
}

int guest_call_message(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
		       uint64_t number, void *message, size_t size, struct guest_error *err)
{
	struct sym_call_request request = {
		.number = number,
		.message = message,
		.message_size = size,
	};
	struct sym_call_result result;
	int status = guest_call(guest, vcpu, limit, &request, &result, err);

	if (status < 0)
		return status;
	if (result.value < 0) {
		status = result.value < -4095 ? -EPROTO : (int)result.value;
		return guest_error_set(err, status, "vCPU %u: the guest refused the call: %s", vcpu,
				       strerror(-status));
	}
	if (result.message_length != size)
		return guest_error_set(err, -EPROTO,
				       "vCPU %u: the guest answered %zu bytes, not %zu", vcpu,
				       result.message_length, size);
	return 0;
}
