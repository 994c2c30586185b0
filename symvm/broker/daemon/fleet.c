// SPDX-License-Identifier: BSD-2-Clause
/*
 * Between the accounts and the world: what VMs ask for goes into the accounts, what the accounts
 * decide goes into the ledger, to the kernel and to the VMs, in this order. So a broker that is
 * killed between two steps has never told a VM of memory that its successor does not know of.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/daemon/server_internal.h"
#include "util/clock.h"
#include "util/psi.h"
#include "util/text_file.h"

static unsigned index_of(const struct broker_server *server, const struct accounts_vm *vm)
{
	return (unsigned)(vm - server->accounts->vms);
}

static unsigned long long mib(uint64_t bytes)
{
	return bytes >> 20;
}

static void account_read(struct broker_server *server, struct accounts_vm *vm, bool *lives)
{
	struct usage *usage = &server->usages[index_of(server, vm)];
	uint64_t used = 0;
	struct psi psi;

	*lives = usage_read(usage, &used);
	if (!*lives)
		return;
	psi = psi_read(usage->pressure_fd);
	accounts_used(vm, used, usage_can_limit(usage));
	accounts_pressure(vm, psi.some, psi.full);
}

/* The VM's process has ended, or it never got anything. */
static void vm_leave(struct broker_server *server, struct accounts_vm *vm, const char *why)
{
	unsigned index = index_of(server, vm);

	log_info(server->log, "%s: %s", vm->name, why);
	ledger_set(&server->ledger, index, NULL);
	if (server->usage_open[index])
		usage_close(&server->usages[index]);
	server->usage_open[index] = false;
	server->vm_clients[index] = NULL;
	accounts_leave(server->accounts, vm);
	server->need = true;
}

/* Restores the lease of @record, if its process still is there. */
static bool record_restore(struct broker_server *server, unsigned index,
			   const struct ledger_record *record)
{
	const struct accounts_join join = {
		.name = record->name,
		.min = record->min,
		.max = record->max,
		.weight = record->weight,
	};
	struct usage *usage = &server->usages[index];
	struct accounts_vm *vm = NULL;
	struct error err;
	bool lives;

	if (usage_open(usage, (pid_t)record->pid, &err) < 0)
		return false;
	if (usage->start == record->start)
		vm = accounts_restore(server->accounts, index, &join, record->granted,
				      clock_now_ns());
	if (!vm) {
		usage_close(usage);
		return false;
	}
	server->usage_open[index] = true;
	server->recorded[index] = vm->id;
	account_read(server, vm, &lives);
	log_info(server->log, "%s: had %llu MiB", vm->name, mib(record->granted));
	return true;
}

void fleet_restore(struct broker_server *server)
{
	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++) {
		const struct ledger_record *record = &server->ledger.records[i];

		if (record->valid && !record_restore(server, i, record))
			ledger_set(&server->ledger, i, NULL);
	}
}

/* The account of a VM that joins: one that is known must be the same process. */
static int account_take(struct client *client, const char *name, struct usage *usage,
			struct error *err)
{
	struct broker_server *server = client->server;
	struct accounts_vm *known = accounts_find(server->accounts, name);
	int status = usage_open(usage, client->pid, err);

	if (status < 0)
		return status;
	if (known && known->lease.state == LEASE_ABSENT) {
		const struct usage *old = &server->usages[index_of(server, known)];

		if (old->pid == usage->pid && old->start == usage->start)
			return 0;
		usage_close(usage);
		return error_set(err, -EEXIST, "another process has the lease of a VM '%s'", name);
	}
	return 0;
}

static void account_keep(struct broker_server *server, struct accounts_vm *vm,
			 const struct usage *usage)
{
	unsigned index = index_of(server, vm);
	bool lives;

	/* Without a word to the kernel: the new one continues with the same ceiling. */
	if (server->usage_open[index]) {
		server->usages[index].high = 0;
		usage_close(&server->usages[index]);
	}
	server->usages[index] = *usage;
	server->usage_open[index] = true;
	account_read(server, vm, &lives);
	if (usage->words[0])
		log_warn(server->log, "%s: %s; %s", vm->name, usage->words,
			 usage->current_fd >= 0
				 ? "the broker cannot hold it to its lease by memory.high"
				 : "its account is the resident memory of its process, and "
				   "memory.high "
				   "does not hold it to its lease");
}

static void fleet_join(struct client *client, const struct message_request *request)
{
	struct broker_server *server = client->server;
	const struct accounts_join join = {
		.name = request->name,
		.min = request->min,
		.max = request->max,
		.weight = request->weight,
		.held = request->held,
	};
	struct accounts_vm *vm;
	struct usage usage;
	struct error err;
	int status;

	if (client->vm) {
		status = error_set(&err, -EALREADY, "this VM has joined already");
		client_refuse(client, status, &err);
		return;
	}
	status = account_take(client, request->name, &usage, &err);
	if (status == 0) {
		status = accounts_join(server->accounts, &join, clock_now_ns(), &vm, &err);
		if (status < 0 && status != -EAGAIN)
			usage_close(&usage);
	}
	if (status < 0 && status != -EAGAIN) {
		log_warn(server->log, "%s: refused: %s", request->name, err.text);
		client_refuse(client, status, &err);
		return;
	}
	client->vm = vm;
	server->strangers--;
	server->vm_clients[index_of(server, vm)] = client;
	account_keep(server, vm, &usage);
	server->need = true;
	log_info(server->log, "%s: %s (process %d, %llu to %llu MiB, weight %llu)", vm->name,
		 status == 0 ? "joined" : "waits for its min", (int)client->pid, mib(request->min),
		 mib(request->max), (unsigned long long)request->weight);
}

static void fleet_demand(struct client *client, const struct message_request *request)
{
	struct accounts_vm *vm = client->vm;
	struct error err;

	if (!vm) {
		error_set(&err, -EPERM, "demand: only a VM that has joined has one");
		client_refuse(client, -EPERM, &err);
		return;
	}
	if (request->demand.want > vm->lease.granted && request->demand.want > vm->demand.want)
		client->server->need = true;
	accounts_demand(client->server->accounts, vm, &request->demand);
	/* What it returned, others may have now. */
	accounts_settle(client->server->accounts);
}

static json_t *vm_describe(const struct broker_server *server, const struct accounts_vm *vm)
{
	const struct usage *usage = &server->usages[index_of(server, vm)];
	const struct lease *lease = &vm->lease;
	uint64_t now = clock_now_ns();
	char why[512], weighed[512];
	json_t *object = json_pack(
		"{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:s}",
		"name", vm->name, "state", lease_state_name(lease->state), "pid", (int)usage->pid,
		"lease", (json_int_t)lease->granted, "target", (json_int_t)lease->target, "used",
		(json_int_t)lease->used, "min", (json_int_t)lease->min, "max",
		(json_int_t)lease->max, "weight", (json_int_t)vm->weight, "want",
		(json_int_t)vm->demand.want, "idle", (json_int_t)vm->demand.idle, "refaults",
		(json_int_t)vm->demand.refaults, "swap_ins", (json_int_t)vm->demand.swap_ins,
		"recalls", (json_int_t)vm->recalls, "overdue", (json_int_t)vm->overdue, "policy",
		(json_int_t)vm->policy_target, "why",
		accounts_explain(server->accounts, vm, now, why, sizeof(why)));

	json_object_set_new(object, "account",
			    json_string(usage->current_fd >= 0 ? usage->group : "resident memory"));
	json_object_set_new(object, "miss_ns", json_integer((json_int_t)vm->demand.miss_ns));
	accounts_explain_policy(server->accounts, vm, weighed, sizeof(weighed));
	if (weighed[0])
		json_object_set_new(object, "weighed", json_string(weighed));
	json_object_set_new(object, "limited", json_boolean(usage_can_limit(usage)));
	if (usage->words[0])
		json_object_set_new(object, "note", json_string(usage->words));
	return object;
}

static json_t *host_describe(const struct broker_server *server)
{
	const struct accounts *accounts = server->accounts;

	return json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "share",
			 (json_int_t)accounts->config.share, "free",
			 (json_int_t)accounts_free(accounts), "policy",
			 accounts->config.policy->name, "vms", (json_int_t)accounts->count,
			 "host_available", (json_int_t)accounts->host_free, "host_psi_some",
			 (json_int_t)accounts->host_psi_some, "host_psi_full",
			 (json_int_t)accounts->host_psi_full);
}

static void fleet_list(struct client *client)
{
	struct broker_server *server = client->server;
	json_t *vms = json_array();

	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++)
		if (server->accounts->vms[i].present)
			json_array_append_new(vms, vm_describe(server, &server->accounts->vms[i]));
	client_send(client, message_result_line(json_pack("{s:o, s:o}", "host",
							  host_describe(server), "vms", vms)));
}

static void fleet_explain(struct client *client, const char *name)
{
	struct broker_server *server = client->server;
	const struct accounts_vm *vm = accounts_find(server->accounts, name);
	struct error err;

	if (!vm) {
		error_set(&err, -ENOENT, "no VM '%s' has joined", name);
		client_refuse(client, -ENOENT, &err);
		return;
	}
	client_send(client,
		    message_result_line(json_pack("{s:o, s:o}", "host", host_describe(server), "vm",
						  vm_describe(server, vm))));
}

static void fleet_lose(struct broker_server *server, struct accounts_vm *vm)
{
	unsigned index = index_of(server, vm);
	bool waited = vm->lease.state == LEASE_WAITING, lives;

	server->vm_clients[index] = NULL;
	account_read(server, vm, &lives);
	if (waited || !lives) {
		vm_leave(server, vm, waited ? "gave up to wait" : "has ended");
		return;
	}
	accounts_lose(server->accounts, vm, clock_now_ns());
	log_info(server->log, "%s: the connection is lost", vm->name);
}

static void fleet_request(struct client *client, const struct message_request *request)
{
	switch (request->kind) {
	case MESSAGE_JOIN:
		fleet_join(client, request);
		break;
	case MESSAGE_DEMAND:
		fleet_demand(client, request);
		break;
	case MESSAGE_LIST:
		fleet_list(client);
		break;
	case MESSAGE_EXPLAIN:
		fleet_explain(client, request->name);
		break;
	}
}

static void join_refused(void *opaque, struct accounts_vm *vm)
{
	struct broker_server *server = opaque;
	struct client *client = server->vm_clients[index_of(server, vm)];
	struct error err;
	int status = accounts_refusal(server->accounts, vm, &err);

	if (client) {
		client->vm = NULL;
		server->strangers++;
		client_refuse(client, status, &err);
	}
	vm_leave(server, vm, err.text);
}

/* Available memory of the host, in bytes; if unknown, no limit. */
static uint64_t host_available(struct broker_server *server)
{
	unsigned long long kib;
	char text[1024], *line;

	if (server->meminfo_fd < 0 ||
	    text_file_read_fd(server->meminfo_fd, text, sizeof(text)) <= 0)
		return ACCOUNTS_BYTES_MAX;
	line = strstr(text, "MemAvailable:");
	if (!line || sscanf(line, "MemAvailable: %llu", &kib) != 1)
		return ACCOUNTS_BYTES_MAX;
	return kib << 10;
}

void fleet_look_at_host(struct broker_server *server)
{
	struct psi psi = psi_read(server->psi_fd);

	accounts_host(server->accounts, host_available(server), psi.some, psi.full);
}

void fleet_tick(struct broker_server *server)
{
	bool regular = ++server->ticks % POLICY_TICKS == 0;

	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++) {
		struct accounts_vm *vm = &server->accounts->vms[i];
		bool lives = true;

		/* A VM that returns memory, or may have ended, is looked at more often. */
		if (vm->present && (regular || vm->lease.state != LEASE_HELD))
			account_read(server, vm, &lives);
		/* One that is still connected is lost by its connection, soon. */
		if (!lives && !server->vm_clients[i])
			vm_leave(server, vm, "has ended");
	}
	if (!regular && !server->need)
		return;
	server->need = false;
	fleet_look_at_host(server);
	accounts_tick(server->accounts, clock_now_ns(), join_refused, server);
}

static void ledger_write(struct broker_server *server, const struct accounts_vm *vm)
{
	unsigned index = index_of(server, vm);
	const struct usage *usage = &server->usages[index];
	struct ledger_record record = {
		.pid = (uint64_t)usage->pid,
		.start = usage->start,
		.min = vm->lease.min,
		.max = vm->lease.max,
		.weight = vm->weight,
		.granted = vm->lease.granted,
		.valid = 1,
	};

	memcpy(record.name, vm->name, sizeof(record.name));
	ledger_set(&server->ledger, index, &record);
	server->recorded[index] = vm->id;
}

/* Whether the ledger has the lease of @vm as it is. */
static bool ledger_has(const struct broker_server *server, unsigned index,
		       const struct accounts_vm *vm)
{
	return server->recorded[index] == vm->id &&
	       server->ledger.records[index].granted == vm->lease.granted;
}

static void vm_tell(struct broker_server *server, struct accounts_vm *vm)
{
	struct client *client = server->vm_clients[index_of(server, vm)];
	uint64_t now = clock_now_ns();
	struct message_lease lease = {.bytes = vm->told, .serial = vm->serial};

	/* It is told when it has taken the last one, or joined again. */
	if (!client || client->output || client->ends)
		return;
	if (vm->lease.state == LEASE_RECALLED && vm->lease.deadline_ns > now)
		lease.deadline_ms = (vm->lease.deadline_ns - now) / NS_PER_MS;
	vm->tell = false;
	log_debug(server->log, "%s: lease of %llu MiB", vm->name, mib(vm->told));
	client_send(client, message_lease_line(&lease));
}

void fleet_carry_out(struct broker_server *server)
{
	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++) {
		struct accounts_vm *vm = &server->accounts->vms[i];

		if (!vm->present || vm->lease.state == LEASE_WAITING)
			continue;
		if (!ledger_has(server, i, vm))
			ledger_write(server, vm);
		usage_limit(&server->usages[i], lease_ceiling(&vm->lease));
		if (vm->tell)
			vm_tell(server, vm);
	}
}

const struct client_ops fleet_client_ops = {
	.request = fleet_request,
	.lost = fleet_lose,
	.handled = fleet_carry_out,
};
