// SPDX-License-Identifier: BSD-2-Clause
/*
 * Hostile VMs and a hostile broker: bytes from several VMs go through the line cutter and the
 * parser into the accounts, as the daemon does it, while time passes. Whatever they say, no byte
 * beyond a line is read, the sum of what is granted stays within the share, and each VM has its
 * min. The same bytes are then what a VM reads from its broker.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VMS   4u
#define SHARE (1ull << 30)

struct peer {
	struct message_input input;
	struct accounts_vm *vm;
};

static struct accounts *accounts;
static struct peer peers[VMS];
static uint64_t now;

static void wants_decide(void *state, const struct broker_host_view *host,
			 const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	for (size_t i = 0; i < count; i++)
		targets[i] = vms[i].want - vms[i].idle;
}

static const struct broker_policy policy = {.name = "fuzz", .decide = wants_decide};

static void check(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++) {
		const struct accounts_vm *vm = &accounts->vms[i];
		const struct lease *lease = &vm->lease;
		char text[512];

		if (!vm->present)
			continue;
		accounts_explain(accounts, vm, now, text, sizeof(text));
		if (lease->state == LEASE_WAITING)
			continue;
		sum += lease->granted;
		if (lease->granted < lease->min || lease->granted > lease->max ||
		    lease_ceiling(lease) < lease->min)
			abort();
	}
	if (sum > SHARE)
		abort();
}

static void refused(void *opaque, struct accounts_vm *vm)
{
	for (unsigned i = 0; i < VMS; i++)
		if (peers[i].vm == vm)
			peers[i].vm = NULL;
	accounts_leave(accounts, vm);
}

static void request_carry_out(struct peer *peer, const struct message_request *request)
{
	const struct accounts_join join = {.name = request->name,
					   .min = request->min,
					   .max = request->max,
					   .weight = request->weight,
					   .held = request->held};
	struct accounts_vm *vm;
	struct error err;
	int status;

	if (request->kind == MESSAGE_JOIN && !peer->vm) {
		status = accounts_join(accounts, &join, now, &vm, &err);
		if (status == 0 || status == -11 /* EAGAIN */)
			peer->vm = vm;
	} else if (request->kind == MESSAGE_DEMAND && peer->vm) {
		struct accounts_demand demand = request->demand;

		/* The fuzzer would not find a right number often. */
		if (demand.serial == 0)
			demand.serial = peer->vm->serial;
		accounts_demand(accounts, peer->vm, &demand);
		accounts_settle(accounts);
	}
}

static void bytes_take(struct peer *peer, const uint8_t *data, size_t size)
{
	while (size) {
		const char *line;
		size_t room, length;
		char *to = message_input_room(&peer->input, &room);
		int got;

		room = room < size ? room : size;
		memcpy(to, data, room);
		message_input_put(&peer->input, room);
		data += room;
		size -= room;
		while ((got = message_input_take(&peer->input, &line, &length)) > 0) {
			struct message_request request;
			struct message_lease lease;
			struct error err;

			if (message_request_read(line, length, &request, &err) == 0)
				request_carry_out(peer, &request);
			message_lease_read(line, length, &lease, &err);
			check();
		}
		if (got < 0)
			memset(&peer->input, 0, sizeof(peer->input));
	}
}

/* One step: its first byte says who does what, its second one how many bytes follow. */
static size_t step(const uint8_t *data, size_t size)
{
	struct peer *peer = &peers[data[0] % VMS];
	size_t length = size > 1 ? data[1] : 0;

	if (length > size - (size > 1 ? 2 : 1))
		length = size - (size > 1 ? 2 : 1);
	switch (data[0] / VMS % 4) {
	case 0:
		now += (data[0] >> 4) * 1000000000ull;
		accounts_tick(accounts, now, refused, NULL);
		break;
	case 1:
		if (peer->vm)
			accounts_used(peer->vm, (uint64_t)length << 22, data[0] >> 7);
		break;
	case 2:
		if (peer->vm)
			accounts_lose(accounts, peer->vm, now);
		peer->vm = NULL;
		break;
	default:
		bytes_take(peer, data + 2, length);
		check();
		return length + 2;
	}
	check();
	return 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct accounts_config config = {
		.share = SHARE, .recall_ns = 10000000000ull, .policy = &policy};
	struct error err;

	memset(peers, 0, sizeof(peers));
	now = 1;
	if (accounts_create(&config, &accounts, &err) < 0)
		abort();
	while (size) {
		size_t used = step(data, size);

		used = used < size ? used : size;
		data += used;
		size -= used;
	}
	accounts_destroy(accounts);
	return 0;
}
