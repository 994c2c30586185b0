// SPDX-License-Identifier: BSD-2-Clause
#include "machine/vm_panic.h"

#include <stdio.h>
#include <string.h>
#include <symbiotic/symcall.h>

#include "machine/vm.h"

bool vm_panic_text_now(struct vm *vm, char text[SYM_PANIC_SIZE])
{
	struct sym_spy_vm_guest guest;

	return vm->symbiotic && sym_vm_spy_read(vm->symbiotic, &guest) == 0 &&
	       guest.boot_state == SYM_BOOT_PANIC &&
	       sym_vm_spy_read_panic(vm->symbiotic, text) == 0;
}

void vm_panic_set_handler(struct vm *vm, vm_panic_handler handler, void *opaque)
{
	vm->panic.handler = handler;
	vm->panic.opaque = opaque;
}

void vm_panic_set_report(struct vm *vm, const char *path)
{
	pthread_mutex_lock(&vm->panic.lock);
	snprintf(vm->panic.report, sizeof(vm->panic.report), "%s", path);
	pthread_mutex_unlock(&vm->panic.lock);
}

bool vm_panic_report_path(struct vm *vm, char path[256])
{
	pthread_mutex_lock(&vm->panic.lock);
	memcpy(path, vm->panic.report, sizeof(vm->panic.report));
	pthread_mutex_unlock(&vm->panic.lock);
	return path[0] != '\0';
}

void vm_panic_set_text(struct vm *vm, const char *text)
{
	pthread_mutex_lock(&vm->panic.lock);
	snprintf(vm->panic.last, sizeof(vm->panic.last), "%s", text);
	pthread_mutex_unlock(&vm->panic.lock);
}

/* One log line for one panic, whichever part notices it first. */
void vm_panic_log(struct vm *vm)
{
	char text[SYM_PANIC_SIZE], path[256];
	bool has = vm_panic_text_now(vm, text), report = vm_panic_report_path(vm, path);

	if (atomic_exchange(&vm->panic.told, true))
		return;
	if (!has && atomic_load(&vm->panic.handled))
		has = vm_panic_text(vm, text);
	log_error(&vm->log, "the guest's kernel panicked%s%s%s%s%s", has ? ": " : "",
		  has ? text : "", report ? " (report: " : "", report ? path : "",
		  report ? ")" : "");
}

enum vm_end vm_panic_reason(struct vm *vm, enum vm_end reason)
{
	char text[SYM_PANIC_SIZE];
	bool by_guest = reason == VM_END_POWEROFF || reason == VM_END_CRASH ||
			reason == VM_END_REBOOT || reason == VM_END_PANIC;

	if (reason == VM_END_STOPPED && vm_panic_is_kept(vm))
		return VM_END_PANIC;
	if (!by_guest || (!atomic_load(&vm->panic.reported) && !vm_panic_text_now(vm, text)))
		return reason;
	vm_panic_log(vm);
	return VM_END_PANIC;
}

void vm_panic_note(struct vm *vm)
{
	char text[SYM_PANIC_SIZE];

	if (!vm_panic_text_now(vm, text))
		return;
	vm_panic_log(vm);
	pthread_mutex_lock(&vm->panic.lock);
	memcpy(vm->panic.last, text, sizeof(text));
	pthread_mutex_unlock(&vm->panic.lock);
	atomic_store(&vm->panic.told, false); /* the next panic is another one */
}

bool vm_panic_text(struct vm *vm, char text[SYM_PANIC_SIZE])
{
	if (vm_panic_text_now(vm, text))
		return true;
	pthread_mutex_lock(&vm->panic.lock);
	memcpy(text, vm->panic.last, SYM_PANIC_SIZE);
	pthread_mutex_unlock(&vm->panic.lock);
	return text[0] != '\0';
}
