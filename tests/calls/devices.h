/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_BARE_SYMCALL_DEVICES_H
#define TESTS_BARE_SYMCALL_DEVICES_H

#include "machine.h"

/* An exit of the guest itself: 0, or 1 if the guest is done, or negative errno. */
int devices_service(struct machine *m);
/* libsymcall's service_exit. */
int devices_service_nested(void *vcpu, struct kvm_run *run);

#endif
