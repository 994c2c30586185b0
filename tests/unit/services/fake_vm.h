/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM without KVM, for code that asks guests: its vCPUs run nothing, and its guest answers as the
 * test says. Stands in for sym_call(), vcpu_run_on() and vm_check_runs().
 */
#ifndef TESTS_SERVICES_FAKE_VM_H
#define TESTS_SERVICES_FAKE_VM_H

#include <symbiotic/symcall.h>

#include "machine/vm.h"

#define FAKE_VCPUS 2u

/* The guest's answer to @request on @vcpu, as sym_call() gives it. */
typedef int (*fake_answer_fn)(struct vcpu *vcpu, const struct sym_call_request *request,
			      struct sym_call_result *result);

struct fake_vm {
	struct vm *vm; /* set up already or zero */
	struct vcpu vcpus[FAKE_VCPUS];
	fake_answer_fn answer;
	_Atomic unsigned calls;
	_Atomic bool paused;
};

/* The only one in this process. */
extern struct fake_vm fake_vm;

/* Gives @vm its vCPUs and the interface; it has not ended, and is not paused. */
void fake_vm_init(struct vm *vm, fake_answer_fn answer);

/* An answer that is a message of @size bytes at @message. */
int fake_message(const struct sym_call_request *request, struct sym_call_result *result,
		 const void *message, size_t size);

#endif
