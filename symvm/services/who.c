// SPDX-License-Identifier: BSD-2-Clause
/*
 * Exit attribution, the control command `who`: while the VMM handles an exit that matches, it asks
 * the guest, synchronously on that vCPU, which task caused it and by which kernel stack.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/control.h"
#include "machine/service.h"
#include "machine/vm.h"
#include "services/guest_call.h"
#include "util/clock.h"
#include "util/wait_limit.h"

#define WATCH_COUNT_MAX	 1000
#define WATCH_TIMEOUT_MS 60000
#define WATCH_PIECE_MS	 200
#define WATCH_MARGIN_MS	 2000 /* for its answer */

struct watch {
	bool mmio;
	uint64_t first; /* ports or addresses, both inclusive */
	uint64_t last;
	bool stack;
	uint64_t end_ns; /* CLOCK_MONOTONIC */
	unsigned wanted;
	unsigned missed; /* exits at which the guest could not be asked */
	json_t *exits;
};

struct attribution {
	_Atomic bool armed; /* the quick look of on_exit() */
	pthread_mutex_t lock;
	pthread_cond_t caught;
	struct watch *watch; /* of the one command that waits; NULL: none */
};

static bool watch_matches(const struct watch *watch, const struct kvm_run *run)
{
	uint64_t at;

	if (run->exit_reason != (watch->mmio ? KVM_EXIT_MMIO : KVM_EXIT_IO))
		return false;
	at = watch->mmio ? run->mmio.phys_addr : run->io.port;
	return at >= watch->first && at <= watch->last;
}

static json_t *describe_exit(const struct vcpu *vcpu, const struct kvm_run *run)
{
	bool mmio = run->exit_reason == KVM_EXIT_MMIO;
	bool is_write = mmio ? run->mmio.is_write : run->io.direction == KVM_EXIT_IO_OUT;

	return json_pack("{s:i, s:s, s:I, s:b, s:i}", "vcpu", (int)vcpu->id, "exit",
			 mmio ? "mmio" : "io", mmio ? "address" : "port",
			 mmio ? (json_int_t)run->mmio.phys_addr : (json_int_t)run->io.port, "write",
			 is_write, "size", mmio ? (int)run->mmio.len : (int)run->io.size);
}

/* Asks the guest, in the middle of handling its exit. */
static int ask_task(struct vcpu *vcpu, json_t *object)
{
	struct sym_whoami whoami;
	struct sym_call_request request = {
		.number = SYM_CALL_WHOAMI,
		.message = &whoami,
		.message_size = sizeof(whoami),
	};
	struct sym_call_result result;
	int status = sym_call(vcpu->symbiotic, &request, &result);

	if (status < 0)
		return status;
	if (result.value != sizeof(whoami) || result.message_length != sizeof(whoami))
		return -EPROTO;
	json_object_set_new(object, "task", guest_whoami_json(&whoami));
	return 0;
}

static void ask_stack(struct vcpu *vcpu, json_t *object)
{
	char text[GUEST_STACK_SIZE];
	struct sym_call_request request = guest_stack_request(text);
	struct sym_call_result result;

	if (sym_call(vcpu->symbiotic, &request, &result) == 0 && result.value >= 0)
		json_object_set_new(object, "stack", guest_stack_json(text, result.message_length));
}

static void catch_exit(struct attribution *attribution, struct vcpu *vcpu,
		       const struct kvm_run *run)
{
	struct watch *watch = attribution->watch;
	json_t *object = describe_exit(vcpu, run);
	int status = ask_task(vcpu, object);

	if (status < 0) {
		json_decref(object);
		/* Exits of a call's own handler are none of the guest's doing. */
		if (status != -EBUSY)
			watch->missed++;
		return;
	}
	if (watch->stack)
		ask_stack(vcpu, object);
	json_array_append_new(watch->exits, object);
	if (json_array_size(watch->exits) >= watch->wanted) {
		atomic_store(&attribution->armed, false);
		pthread_cond_broadcast(&attribution->caught);
	}
}

static void attribution_on_exit(void *state, struct vcpu *vcpu, struct kvm_run *run)
{
	struct attribution *attribution = state;

	if (!atomic_load_explicit(&attribution->armed, memory_order_relaxed))
		return;
	/* A vCPU that handles a call's nested exit may hold the lock already. */
	if (pthread_mutex_trylock(&attribution->lock))
		return;
	if (atomic_load(&attribution->armed) && watch_matches(attribution->watch, run))
		catch_exit(attribution, vcpu, run);
	pthread_mutex_unlock(&attribution->lock);
}

static int attribution_start(struct vm *vm, void **state, struct error *err)
{
	struct attribution *attribution = calloc(1, sizeof(*attribution));

	if (!attribution)
		return error_set(err, -ENOMEM, "exit attribution: out of memory");
	pthread_mutex_init(&attribution->lock, NULL);
	clock_condition_init(&attribution->caught);
	*state = attribution;
	return 0;
}

static void attribution_stop(void *state)
{
	struct attribution *attribution = state;

	pthread_cond_destroy(&attribution->caught);
	pthread_mutex_destroy(&attribution->lock);
	free(attribution);
}

static const struct service_ops attribution_ops = {
	.name = "attribution",
	.start = attribution_start,
	.stop = attribution_stop,
	.on_exit = attribution_on_exit,
};
SERVICE(attribution_ops);

static int watch_parse(json_t *arguments, struct watch *watch, json_int_t *timeout,
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
		status = control_argument_integer(arguments, "count", 1, WATCH_COUNT_MAX, &count,
						  err);
	if (status == 0)
		status = control_argument_integer(arguments, "timeout", 1, WATCH_TIMEOUT_MS,
						  timeout, err);
	if (status == 0)
		status = control_argument_bool(arguments, "stack", &watch->stack, err);
	if (status < 0)
		return status;
	if ((port >= 0) == (address >= 0))
		return error_set(err, -EINVAL, "who: expected either a port or an address");
	watch->mmio = address >= 0;
	watch->first = (uint64_t)(watch->mmio ? address : port);
	watch->last = watch->first + (uint64_t)size - 1;
	watch->wanted = (unsigned)count;
	return 0;
}

/*
 * Waits for the exits that the watch wants, until its time or @limit is over. In short pieces: the
 * end or the pause of the VM must not wait for a watch. The lock is held. 0, or -errno with words.
 */
static int wait_caught(struct vm *vm, struct attribution *attribution,
		       const struct wait_limit *limit, struct error *err)
{
	uint64_t end = attribution->watch->end_ns, now;
	int status = 0;

	while (atomic_load(&attribution->armed) && status == 0 && !wait_limit_over(limit) &&
	       (now = clock_now_ns()) < end) {
		uint64_t piece_end = now + WATCH_PIECE_MS * NS_PER_MS;
		struct timespec piece = clock_timespec(piece_end < end ? piece_end : end);

		pthread_cond_timedwait(&attribution->caught, &attribution->lock, &piece);
		/* A guest that reboots may still cause the exits. */
		status = vm_check_runs(vm, err);
		if (status == -EBUSY && atomic_load(&vm->reset_requested))
			status = 0;
	}
	return status;
}

static int watch_wait(struct vm *vm, struct attribution *attribution, struct watch *watch,
		      const struct wait_limit *limit, struct error *err)
{
	int status = vm_check_runs(vm, err);

	if (status < 0)
		return status;
	pthread_mutex_lock(&attribution->lock);
	if (attribution->watch) {
		pthread_mutex_unlock(&attribution->lock);
		return error_set(err, -EBUSY, "who: another client watches exits of this VM");
	}
	attribution->watch = watch;
	atomic_store(&attribution->armed, true);
	status = wait_caught(vm, attribution, limit, err);
	atomic_store(&attribution->armed, false);
	attribution->watch = NULL;
	pthread_mutex_unlock(&attribution->lock);
	return status;
}

static int handle_who(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		      struct error *err)
{
	struct attribution *attribution = service_find(vm, &attribution_ops);
	struct watch watch = {0};
	json_int_t timeout = 5000;
	int status = watch_parse(arguments, &watch, &timeout, err);

	if (status < 0)
		return status;
	if (!attribution)
		return error_set(err, -EOPNOTSUPP,
				 "this VM runs without the symbiotic interface (--symbiotic off)");
	watch.exits = json_array();
	watch.end_ns = clock_now_ns() + (uint64_t)timeout * NS_PER_MS;
	status = watch_wait(vm, attribution, &watch, limit, err);
	if (status < 0) {
		json_decref(watch.exits);
		return status;
	}
	*result = json_pack("{s:o, s:i, s:b}", "exits", watch.exits, "missed", (int)watch.missed,
			    "complete", json_array_size(watch.exits) >= watch.wanted);
	return 0;
}

static const struct control_command who_command = {
	.name = "who",
	.help = "which task causes exits at port or address (size), count, stack, timeout (ms)",
	.is_query = true,
	.limit_ms = WATCH_TIMEOUT_MS + WATCH_MARGIN_MS,
	.handle_until = handle_who,
};
CONTROL_COMMAND(who_command);
