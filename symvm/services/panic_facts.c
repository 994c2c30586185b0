// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asks a guest after its panic. The vCPUs are parked. Linux has stopped all of them but the one
 * that panicked, each in a HLT with interrupts off, and calls can be made on these: a call needs no
 * interrupts. A vCPU that Linux stopped by an NMI never leaves that NMI, and takes no call. So each
 * vCPU has a limit of its own, and its registers are read in any case.
 */
#include "services/panic_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/vm.h"
#include "machine/vm_panic.h"
#include "services/guest.h"
#include "util/clock.h"

#define VCPU_LIMIT_MS 400u
#define LOG_LIMIT_MS  2000u
#define LOG_ANSWERS   8u /* each up to GUEST_DMESG_TEXT; Debian's log has room for half of one */

/* A panic's line on the console, after its time: panic() in kernel/panic.c. */
#define CONSOLE_WORDS "Kernel panic - not syncing: "

static struct guest_limit limit_ms(unsigned ms)
{
	return (struct guest_limit){.end_ns = clock_now_ns() + ms * NS_PER_MS};
}

bool panic_words_find(const char *console, size_t size, char words[SYM_PANIC_SIZE])
{
	const char *end = console + size, *at = console, *found = NULL, *line_end;
	size_t length;

	while ((at = memmem(at, (size_t)(end - at), CONSOLE_WORDS, strlen(CONSOLE_WORDS)))) {
		at += strlen(CONSOLE_WORDS);
		found = at;
	}
	if (!found)
		return false;
	for (line_end = found;
	     line_end < end && *line_end != '\n' && *line_end != '\r' && *line_end;)
		line_end++;
	length = (size_t)(line_end - found);
	if (length > SYM_PANIC_SIZE - 1)
		length = SYM_PANIC_SIZE - 1;
	memcpy(words, found, length);
	words[length] = '\0';
	return length > 0;
}

static void read_vcpu(struct vcpu *vcpu, struct panic_vcpu *out)
{
	const struct vcpu_counters *counters = &vcpu->counters;

	for (unsigned i = 0; i < VCPU_EXIT_KINDS; i++)
		out->exits += atomic_load(&counters->exits[i]);
	out->last_exit = atomic_load(&counters->last_reason);
	out->last_address = atomic_load(&counters->last_address);
	out->has_spy = vcpu->symbiotic && sym_vcpu_spy_read(vcpu->symbiotic, &out->spy) == 0;
	out->registers_status = vcpu_registers_read(vcpu, VCPU_LIMIT_MS, &out->registers);
}

static void ask_vcpu(const struct guest *guest, unsigned id, struct panic_vcpu *out)
{
	struct guest_limit limit = limit_ms(VCPU_LIMIT_MS);
	struct guest_error words;

	out->has_task = guest_whoami(guest, id, &limit, &out->task, &words) == 0;
	if (out->has_task) {
		limit = limit_ms(VCPU_LIMIT_MS);
		out->has_stack = guest_stack(guest, id, &limit, &out->stack, &words) == 0;
	}
	if (!out->has_stack)
		snprintf(out->why_not, sizeof(out->why_not), "%s", words.text);
}

/* The newest part of the kernel's log: an answer begins with the oldest lines. */
static void ask_log(const struct guest *guest, struct panic_facts *facts)
{
	const struct guest_limit limit = limit_ms(LOG_LIMIT_MS);
	struct guest_dmesg part;
	struct guest_error words;
	uint64_t from = 0;

	for (unsigned i = 0; i < LOG_ANSWERS; i++) {
		if (guest_dmesg(guest, &limit, from, &part, &words) < 0) {
			snprintf(facts->no_log, sizeof(facts->no_log), "%s", words.text);
			return;
		}
		if (facts->has_log && part.count == 0) {
			guest_dmesg_free(&part);
			return;
		}
		guest_dmesg_free(&facts->log);
		facts->log = part;
		facts->has_log = true;
		if (part.complete)
			return;
		from = part.next;
	}
}

static void read_console(struct vm *vm, struct panic_facts *facts)
{
	for (struct device *device = vm->devices; device; device = device->next) {
		if (!device->ops->tail)
			continue;
		facts->console_size = device->ops->tail(device, facts->console,
							sizeof(facts->console));
		return;
	}
}

struct panic_facts *panic_facts_collect(struct vm *vm)
{
	struct panic_facts *facts = calloc(1, sizeof(*facts));
	struct guest guest = guest_of_vm(vm);

	if (facts)
		facts->vcpus = calloc(vm->vcpu_count, sizeof(*facts->vcpus));
	if (!facts || !facts->vcpus) {
		free(facts);
		return NULL;
	}
	facts->vm_name = vm->config.name;
	facts->uptime = vm_uptime(vm);
	facts->vcpu_count = vm->vcpu_count;
	read_console(vm, facts);
	if (vm->symbiotic) {
		facts->has_spy = sym_vm_spy_read(vm->symbiotic, &facts->spy) == 0;
		vm_panic_text_now(vm, facts->words);
	}
	if (!facts->words[0])
		facts->words_from_console = panic_words_find(facts->console, facts->console_size,
							     facts->words);
	for (unsigned i = 0; i < facts->vcpu_count; i++)
		read_vcpu(vm->vcpus[i], &facts->vcpus[i]);
	ask_log(&guest, facts);
	for (unsigned i = 0; i < facts->vcpu_count; i++)
		ask_vcpu(&guest, i, &facts->vcpus[i]);
	return facts;
}

void panic_facts_free(struct panic_facts *facts)
{
	if (!facts)
		return;
	guest_dmesg_free(&facts->log);
	free(facts->vcpus);
	free(facts);
}
