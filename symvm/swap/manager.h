/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decision about a swap-in. Its doorbell is answered on the vCPU's thread: the manager asks the
 * guest (SYM_CALL_SWAP_QUERY), lets the policy decide and gives RAM. The verdict's credit keeps
 * further swap-ins from asking. A timer on the main loop takes granted RAM back.
 */
#ifndef SYMVM_SWAP_MANAGER_H
#define SYMVM_SWAP_MANAGER_H

#include <jansson.h>
#include <stdint.h>

#include "util/error.h"

struct vm;

#define SWAP_POLICY_DEFAULT "auto"

/* What the slot store does for the manager. Any thread; neither function may call back. */
struct swap_store_ops {
	/* Sets header.verdicts of every window and changes header.policy_epoch. */
	void (*set_verdicts)(void *opaque, uint32_t verdicts);
	/*
	 * The VM's budget for RAM and slots together (0: none), and the host memory that slots use
	 * now, compressed ones too. Bytes.
	 */
	void (*usage)(void *opaque, uint64_t *budget, uint64_t *slots);
};

/*
 * Connects the slot store of @vm, once, and sets its first policy (NULL: SWAP_POLICY_DEFAULT).
 * @pressure: a PSI file to follow instead of the VM's cgroup's and the machine's; may be NULL. Main
 * thread, before vCPUs run. -EINVAL (no such policy), -EOPNOTSUPP (symbiotic interface off),
 * -errno.
 */
int swap_manager_attach(struct vm *vm, const struct swap_store_ops *ops, void *opaque,
			const char *policy, const char *pressure, struct error *err);

/* Changes the policy of a VM that may be running. Any thread. -EINVAL, -EOPNOTSUPP with words. */
int swap_policy_set(struct vm *vm, const char *name, struct error *err);

/*
 * Policy, decisions by reason, RAM given and taken back, pressure; for `symvm swap`. New reference;
 * NULL if no store is attached. Any thread.
 */
json_t *swap_policy_describe(struct vm *vm);

/* RAM that the guest has or may plug at any time: its share of the budget. Any thread. */
uint64_t swap_ram_bytes(struct vm *vm);

#endif
