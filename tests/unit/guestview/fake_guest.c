// SPDX-License-Identifier: BSD-2-Clause
#include "fake_guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Stands in for libsymcall. */
int sym_call(struct sym_vcpu *engine, const struct sym_call_request *request,
	     struct sym_call_result *result)
{
	struct fake_guest *fake = (struct fake_guest *)engine;
	unsigned index = fake->calls < fake->answer_count ? fake->calls : fake->answer_count - 1;
	const struct fake_answer *answer = &fake->answers[index];
	size_t length = answer->length;

	fake->calls++;
	fake->request = *request;
	if (fake->cut_after && fake->calls >= fake->cut_after)
		atomic_store(&fake->cut, true);
	if (answer->status < 0)
		return answer->status;
	*result = (struct sym_call_result){.value = answer->value, .message_length = length};
	if (length > request->message_size)
		length = request->message_size;
	if (request->message && answer->message)
		memcpy(request->message, answer->message, length);
	return 0;
}

static unsigned fake_vcpu_count(void *opaque)
{
	const struct fake_guest *fake = opaque;

	return fake->vcpus;
}

static struct sym_vcpu *fake_engine(void *opaque, unsigned vcpu)
{
	struct fake_guest *fake = opaque;

	fake->vcpu = vcpu;
	return opaque;
}

static int fake_run_on(void *opaque, unsigned vcpu, void (*function)(void *argument),
		       void *argument, unsigned timeout_ms)
{
	struct fake_guest *fake = opaque;

	if (fake->run_status == 0 && timeout_ms > 0)
		function(argument);
	return fake->run_status;
}

static int fake_check(void *opaque, struct guest_error *err)
{
	struct fake_guest *fake = opaque;

	if (fake->end_after && fake->calls >= fake->end_after)
		return guest_error_set(err, -ESHUTDOWN, "it has ended");
	return fake->held ? guest_error_set(err, fake->held, "it is held") : 0;
}

static void fake_log(void *opaque, enum sym_log_level level, const char *message)
{
	struct fake_guest *fake = opaque;

	snprintf(fake->logged, sizeof(fake->logged), "%s", message);
}

void fake_guest_init(struct fake_guest *fake)
{
	static const struct guest_ops ops = {
		.vcpu_count = fake_vcpu_count,
		.engine = fake_engine,
		.run_on = fake_run_on,
		.check = fake_check,
		.log = fake_log,
	};
	static const struct fake_answer none[] = {{.status = -EAGAIN}};
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	memset(fake, 0, sizeof(*fake));
	fake->guest = (struct guest){.ops = &ops, .opaque = fake};
	fake->limit.end_ns = ((uint64_t)now.tv_sec + 3600) * 1000000000u;
	fake->limit.cut = &fake->cut;
	fake->vcpus = 2;
	fake_guest_answers(fake, none);
}
