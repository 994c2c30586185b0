// SPDX-License-Identifier: BSD-2-Clause
/* The control command `who`: which tasks of the guest cause certain exits. */
#include "services/who.h"

#include <errno.h>

#include "control/control.h"
#include "control/guest_json.h"
#include "util/clock.h"

#define WHO_COUNT_MAX  1000
#define WHO_TIMEOUT_MS 60000
#define WHO_MARGIN_MS  2000 /* for the answer */
#define WHO_DEFAULT_MS 5000

_Static_assert(WHO_COUNT_MAX <= GUEST_WHO_RING_MAX, "a ring has room for all");

static json_t *exit_json(const struct guest_who *who)
{
	json_t *object = json_pack("{s:i, s:s, s:I, s:b, s:i, s:o}", "vcpu", (int)who->vcpu, "exit",
				   who->mmio ? "mmio" : "io", who->mmio ? "address" : "port",
				   (json_int_t)who->address, "write", who->write, "size",
				   (int)who->size, "task", guest_whoami_json(&who->task));

	if (who->has_stack)
		json_object_set_new(object, "stack", guest_stack_json(&who->stack));
	return object;
}

static json_t *watch_json(const struct who_watch *watch)
{
	json_t *exits = json_array();
	struct guest_who who;

	while (guest_who_ring_take(watch->ring, &who))
		json_array_append_new(exits, exit_json(&who));
	return json_pack("{s:o, s:i, s:b}", "exits", exits, "missed", (int)watch->missed,
			 "complete", json_array_size(exits) >= watch->count);
}

static int parse_watch(json_t *arguments, struct who_watch *watch, json_int_t *timeout,
		       struct error *err)
{
	static const char *const known[] = {"port",  "address", "size", "count",
					    "stack", "timeout", NULL};
	json_int_t port = -1, address = -1, size = 1, count = 1;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "port", 0, 0xffff, &port, err);
	if (status == 0)
		status = control_argument_integer(arguments, "address", 0, INT64_MAX, &address,
						  err);
	if (status == 0)
		status = control_argument_integer(arguments, "size", 1, 1ll << 40, &size, err);
	if (status == 0)
		status = control_argument_integer(arguments, "count", 1, WHO_COUNT_MAX, &count,
						  err);
	if (status == 0)
		status = control_argument_integer(arguments, "timeout", 1, WHO_TIMEOUT_MS, timeout,
						  err);
	if (status == 0)
		status = control_argument_bool(arguments, "stack", &watch->stack, err);
	if (status < 0)
		return status;
	if ((port >= 0) == (address >= 0))
		return error_set(err, -EINVAL, "who: expected either a port or an address");
	watch->exits.reason = address >= 0 ? KVM_EXIT_MMIO : KVM_EXIT_IO;
	watch->exits.first = (uint64_t)(address >= 0 ? address : port);
	watch->exits.last = watch->exits.first + (uint64_t)size - 1;
	watch->count = (unsigned)count;
	return 0;
}

static int handle_who(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		      struct error *err)
{
	struct who_watch watch = {0};
	json_int_t timeout = WHO_DEFAULT_MS;
	int status = parse_watch(arguments, &watch, &timeout, err);

	if (status < 0)
		return status;
	watch.ring = guest_who_ring_create(watch.count);
	if (!watch.ring)
		return error_set(err, -ENOMEM, "who: out of memory");
	watch.end_ns = clock_now_ns() + (uint64_t)timeout * NS_PER_MS;
	status = who_watch_wait(vm, &watch, limit, err);
	if (status == 0)
		*result = watch_json(&watch);
	guest_who_ring_destroy(watch.ring);
	return status;
}

static const struct control_command who_command = {
	.name = "who",
	.help = "which task causes exits at port or address (size), count, stack, timeout (ms)",
	.is_query = true,
	.limit_ms = WHO_TIMEOUT_MS + WHO_MARGIN_MS,
	.handle_until = handle_who,
};
CONTROL_COMMAND(who_command);
