/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known about a guest whose kernel panicked; the material of a report. */
#ifndef SYMVM_SERVICES_PANIC_FACTS_H
#define SYMVM_SERVICES_PANIC_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <symbiotic/symcall.h>

#include "libguestview/dmesg.h"
#include "libguestview/stack.h"
#include "libguestview/whoami.h"
#include "machine/vcpu_registers.h"

struct vm;

#define PANIC_CONSOLE_SIZE (8u << 10)

struct panic_vcpu {
	int registers_status; /* 0, or why they are not known */
	struct vcpu_registers registers;
	uint64_t exits; /* all that reached the VMM */
	uint32_t last_exit;
	uint64_t last_address; /* of the last access to a port or device */
	bool has_spy;
	struct sym_spy_vcpu_guest spy;
	bool has_task, has_stack;
	struct guest_whoami task;
	struct guest_stack stack;
	char why_not[256]; /* the guest was not asked, or did not answer; "": it did */
};

/* Every text of the guest is as the guest gave it: not escaped. */
struct panic_facts {
	const char *vm_name;
	double uptime;		    /* seconds */
	char words[SYM_PANIC_SIZE]; /* of the kernel; "": not known */
	bool words_from_console;
	bool has_spy;
	struct sym_spy_vm_guest spy;
	unsigned vcpu_count;
	struct panic_vcpu *vcpus;
	bool has_log;
	struct guest_dmesg log; /* the newest part */
	char no_log[256];	/* why there is none */
	size_t console_size;
	char console[PANIC_CONSOLE_SIZE];
};

/*
 * Collects the facts about @vm, whose guest panicked and may be asked (vm_panic_set_handler()).
 * Waits at most about ten seconds, whatever the guest does, and less once the VM has ended. NULL:
 * out of memory. The caller frees the result with panic_facts_free(); @vm must outlive it.
 * Lifecycle thread.
 */
struct panic_facts *panic_facts_collect(struct vm *vm);
/* NULL is allowed. */
void panic_facts_free(struct panic_facts *facts);

/*
 * Finds the kernel's own words for its panic in the @size bytes of @console, and copies the last
 * ones, NUL terminated, to @words. False if there are none.
 */
bool panic_words_find(const char *console, size_t size, char words[SYM_PANIC_SIZE]);

#endif
