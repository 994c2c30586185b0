/* SPDX-License-Identifier: BSD-2-Clause */
/* A real broker in a process of its own, and VMs that the test plays. */
#ifndef TESTS_UNIT_BROKER_FAKE_VMS_H
#define TESTS_UNIT_BROKER_FAKE_VMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/message.h"

#define MIB	(1ull << 20)
#define SHARE	(1000 * MIB)
#define WAIT_MS 20000 /* generous: a busy machine */

struct test_broker {
	char dir[64], socket[100], ledger[100];
	pid_t pid;
};

/* Starts the broker of @broker->dir, which it makes if there is none. */
void broker_begin(struct test_broker *broker, uint64_t recall_ns);
/* Kills it, as kill -9 does. */
void broker_kill(struct test_broker *broker);
/* Kills it, and removes its files. */
void broker_end(struct test_broker *broker);

/* A connection to the broker. */
struct fake_vm {
	int fd;
	struct message_input input;
	struct message_lease lease; /* the last one that it read */
};

void vm_connect(struct fake_vm *vm, const struct test_broker *broker);
void vm_close(struct fake_vm *vm);
void vm_send(struct fake_vm *vm, const char *line);
/* Sends that it joins with these limits (MiB), and that it holds @held. */
void vm_join(struct fake_vm *vm, const char *name, uint64_t min, uint64_t max, uint64_t held);
/* Sends that it holds and wants so much (MiB). */
void vm_demand(struct fake_vm *vm, uint64_t held, uint64_t want);
/* Reads the next line: 0 for a lease, the broker's error, or -EPIPE if the connection ended. */
int vm_read(struct fake_vm *vm, struct error *err);
/* Reads until the lease is @mib. */
void vm_expect(struct fake_vm *vm, uint64_t mib);
/* Whether the connection ends without another lease. */
bool vm_is_cut_off(struct fake_vm *vm);

/* The answer to `list`; the caller frees it. */
json_t *broker_list(const struct test_broker *broker);
/* Waits until @key of VM @name is @text, a state for example. */
void broker_expect(const struct test_broker *broker, const char *name, const char *key,
		   const char *text);
/* Waits until so many VMs are known. */
void broker_expect_count(const struct test_broker *broker, size_t count);
/* The number at @key of VM @name, in MiB. */
uint64_t broker_mib(const struct test_broker *broker, const char *name, const char *key);

#endif
