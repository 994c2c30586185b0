/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which task causes an exit: the vCPU's half of services/who.h, whose who_watch_wait() is here,
 * too. Only writes are attributed. A call during a read completes the read with a dummy, and the
 * VMM's answer would have to be found again after any request that the VMM makes in between.
 */
#ifndef PRELOAD_WHO_H
#define PRELOAD_WHO_H

#include <stdbool.h>

struct preload_vcpu;

/* Whether a client waits for the exit in kvm_run: one load if there is no client. The vCPU's
 * thread. */
bool preload_who_wants(struct preload_vcpu *vcpu);

/* Asks the guest, and gives the client a record. In the coroutine of the struct preload_vcpu @vcpu.
 */
void preload_who_ask(void *vcpu);

#endif
