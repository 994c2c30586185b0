// SPDX-License-Identifier: BSD-2-Clause
/* From the report of a panic to the end of the VM: waits up to a second for the text. */
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "machine/lifecycle.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"

/* Looks for a text that is still to come: every 10 ms, for a second. */
#define PANIC_LOOK_NS 10000000L
#define PANIC_LOOKS   100u

/* Whether there is a page in which a text may still come. */
static bool spy_may_come(struct vm *vm)
{
	struct sym_spy_vm_guest guest;

	return vm->symbiotic && sym_vm_spy_read(vm->symbiotic, &guest) != -ENODATA;
}

bool vm_panic_finish(struct vm *vm)
{
	if (!atomic_load(&vm->panic.reported))
		return false;
	if (vm->panic.handler)
		lifecycle_panic(vm);
	else
		vm_end(vm, VM_END_PANIC); /* which logs it */
	return true;
}

static void timer_set(struct vm *vm, long ns)
{
	const struct itimerspec when = {.it_interval.tv_nsec = ns, .it_value.tv_nsec = ns};

	timerfd_settime(vm->panic.timer, 0, &when, NULL);
}

/* On the main loop's thread: the guest continues with its notifiers meanwhile. */
static void panic_look(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	char text[SYM_PANIC_SIZE];
	uint64_t ticks;

	(void)events;
	if (read(vm->panic.timer, &ticks, sizeof(ticks)) != sizeof(ticks))
		return;
	if (++vm->panic.looks < PANIC_LOOKS && !vm_panic_text_now(vm, text))
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
	vm->panic.source = event_loop_add(vm->main_loop, vm->panic.timer, EPOLLIN, panic_look, vm);
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
	if (vm_panic_text_now(vm, text) || !spy_may_come(vm))
		vm_panic_finish(vm);
	else
		timer_set(vm, PANIC_LOOK_NS);
}
