// SPDX-License-Identifier: BSD-2-Clause
#include "machine/vm_panic.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "machine/vm.h"

/* Looks for a text that is still to come: every 10 ms, for a second. */
#define PANIC_LOOK_NS 10000000L
#define PANIC_LOOKS   100u

/* Whether the guest's SymSpy page says that it panicked; @text is set then. */
static bool spy_text(struct vm *vm, char text[SYM_PANIC_SIZE])
{
	struct sym_spy_vm_guest guest;

	return vm->symbiotic && sym_vm_spy_read(vm->symbiotic, &guest) == 0 &&
	       guest.boot_state == SYM_BOOT_PANIC &&
	       sym_vm_spy_read_panic(vm->symbiotic, text) == 0;
}

/* Whether there is a page that a text may still come in. */
static bool spy_may_come(struct vm *vm)
{
	struct sym_spy_vm_guest guest;

	return vm->symbiotic && sym_vm_spy_read(vm->symbiotic, &guest) != -ENODATA;
}

/* One log line for one panic, whoever notices it first. */
static void tell(struct vm *vm)
{
	char text[SYM_PANIC_SIZE];
	bool has = spy_text(vm, text);

	if (atomic_exchange(&vm->panic.told, true))
		return;
	if (has)
		log_error(&vm->log, "the guest's kernel panicked: %s", text);
	else
		log_error(&vm->log, "the guest's kernel panicked");
}

bool vm_panic_finish(struct vm *vm)
{
	if (!atomic_load(&vm->panic.reported))
		return false;
	vm_end(vm, VM_END_PANIC); /* which tells */
	return true;
}

static void timer_set(struct vm *vm, long ns)
{
	const struct itimerspec when = {.it_interval.tv_nsec = ns, .it_value.tv_nsec = ns};

	timerfd_settime(vm->panic.timer, 0, &when, NULL);
}

/* On the main loop's thread: the guest goes on with its notifiers meanwhile. */
static void look(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	char text[SYM_PANIC_SIZE];
	uint64_t ticks;

	(void)events;
	if (read(vm->panic.timer, &ticks, sizeof(ticks)) != sizeof(ticks))
		return;
	if (++vm->panic.looks < PANIC_LOOKS && !spy_text(vm, text))
		return;
	timer_set(vm, 0);
	vm_panic_finish(vm);
}

int vm_panic_init(struct vm *vm, struct error *err)
{
	pthread_mutex_init(&vm->panic.lock, NULL);
	vm->panic.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (vm->panic.timer < 0)
		return error_set_errno(err, -errno, "panic: timerfd_create");
	vm->panic.source = event_loop_add(vm->main_loop, vm->panic.timer, EPOLLIN, look, vm);
	return vm->panic.source ? 0 : error_set(err, -ENOMEM, "panic: out of memory");
}

void vm_panic_destroy(struct vm *vm)
{
	if (vm->panic.source)
		event_source_remove(vm->panic.source);
	if (vm->panic.timer > 0)
		close(vm->panic.timer);
	vm->panic.source = NULL;
	vm->panic.timer = -1;
}

void vm_report_panic(struct vm *vm)
{
	char text[SYM_PANIC_SIZE];

	if (atomic_exchange(&vm->panic.reported, true))
		return;
	if (spy_text(vm, text) || !spy_may_come(vm))
		vm_panic_finish(vm);
	else
		timer_set(vm, PANIC_LOOK_NS);
}

enum vm_end vm_panic_reason(struct vm *vm, enum vm_end reason)
{
	char text[SYM_PANIC_SIZE];
	bool by_guest = reason == VM_END_POWEROFF || reason == VM_END_CRASH ||
			reason == VM_END_REBOOT || reason == VM_END_PANIC;

	if (!by_guest || (!atomic_load(&vm->panic.reported) && !spy_text(vm, text)))
		return reason;
	tell(vm);
	return VM_END_PANIC;
}

void vm_panic_note(struct vm *vm)
{
	char text[SYM_PANIC_SIZE];

	if (!spy_text(vm, text))
		return;
	tell(vm);
	pthread_mutex_lock(&vm->panic.lock);
	memcpy(vm->panic.last, text, sizeof(text));
	pthread_mutex_unlock(&vm->panic.lock);
	atomic_store(&vm->panic.told, false); /* the next one is another */
}

bool vm_panic_text(struct vm *vm, char text[SYM_PANIC_SIZE])
{
	if (spy_text(vm, text))
		return true;
	pthread_mutex_lock(&vm->panic.lock);
	memcpy(text, vm->panic.last, SYM_PANIC_SIZE);
	pthread_mutex_unlock(&vm->panic.lock);
	return text[0] != '\0';
}
