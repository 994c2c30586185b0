// SPDX-License-Identifier: BSD-2-Clause
/*
 * The event of a panic and its text come in either order, or only one of them comes. The guest's
 * page is a variable here, and the test records the VM's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <symbiotic/symcall.h>

#include "machine/lifecycle.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"

static struct {
	pthread_mutex_t lock;
	bool page; /* the guest has registered one */
	uint32_t boot_state;
	char text[SYM_PANIC_SIZE];
} spy = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct vm vm;
static unsigned ends;
static int log_pipe[2];

int sym_vm_spy_read(struct sym_vm *sym, struct sym_spy_vm_guest *out)
{
	int status = -ENODATA;

	pthread_mutex_lock(&spy.lock);
	memset(out, 0, sizeof(*out));
	if (spy.page) {
		out->boot_state = spy.boot_state;
		status = 0;
	}
	pthread_mutex_unlock(&spy.lock);
	return status;
}

int sym_vm_spy_read_panic(struct sym_vm *sym, char out[SYM_PANIC_SIZE])
{
	pthread_mutex_lock(&spy.lock);
	memcpy(out, spy.text, SYM_PANIC_SIZE);
	pthread_mutex_unlock(&spy.lock);
	return 0;
}

/* As in vm.c. */
void vm_end(struct vm *which, enum vm_end reason)
{
	int none = VM_END_NONE;

	reason = vm_panic_reason(which, reason);
	if (!atomic_compare_exchange_strong(&which->end, &none, (int)reason))
		return;
	ends++;
	event_loop_quit(which->main_loop);
}

static unsigned handled;

/* The lifecycle thread would call the handler, and then end the VM. */
void lifecycle_panic(struct vm *which)
{
	handled++;
}

static void publish(const char *text)
{
	pthread_mutex_lock(&spy.lock);
	strncpy(spy.text, text, sizeof(spy.text) - 1);
	spy.boot_state = SYM_BOOT_PANIC;
	pthread_mutex_unlock(&spy.lock);
}

static int setup(void **state)
{
	struct error err;

	memset(&vm, 0, sizeof(vm));
	spy.page = true;
	spy.boot_state = SYM_BOOT_RUNNING;
	memset(spy.text, 0, sizeof(spy.text));
	ends = handled = 0;
	atomic_store(&vm.end, VM_END_NONE);
	vm.symbiotic = (struct sym_vm *)&vm;
	assert_int_equal(pipe2(log_pipe, O_NONBLOCK), 0);
	log_init(&vm.log, log_pipe[1], LOG_LEVEL_WARN);
	assert_int_equal(event_loop_create(&vm.main_loop), 0);
	return vm_panic_init(&vm, &err);
}

static int teardown(void **state)
{
	vm_panic_destroy(&vm);
	event_loop_destroy(vm.main_loop);
	close(log_pipe[0]);
	close(log_pipe[1]);
	return 0;
}

/* One line, with @words in it. */
static void logged(const char *words)
{
	char log[2048];
	ssize_t got = read(log_pipe[0], log, sizeof(log) - 1);

	assert_true(got > 0);
	log[got] = '\0';
	assert_non_null(strstr(log, words));
	assert_ptr_equal(strchr(log, '\n'), log + got - 1);
}

static void the_text_first(void **state)
{
	publish("sysrq triggered crash");
	vm_report_panic(&vm);
	assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
	logged("the guest's kernel panicked: sysrq triggered crash\n");
}

static void *publish_later(void *opaque)
{
	struct timespec pause = {.tv_nsec = 30000000};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	publish("came later");
	return NULL;
}

static void the_event_first(void **state)
{
	pthread_t guest;

	vm_report_panic(&vm);
	assert_int_equal(atomic_load(&vm.end), VM_END_NONE);
	vm_report_panic(&vm);
	assert_int_equal(pthread_create(&guest, NULL, publish_later, NULL), 0);
	event_loop_run(vm.main_loop);
	pthread_join(guest, NULL);
	assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
	logged("panicked: came later\n");
}

/* The wait is bounded: a guest that never publishes ends, too. */
static void the_event_alone(void **state)
{
	vm_report_panic(&vm);
	event_loop_run(vm.main_loop);
	assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
	logged("the guest's kernel panicked\n");
}

static void without_a_page_nothing_is_waited_for(void **state)
{
	spy.page = false;
	vm_report_panic(&vm);
	assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
	logged("the guest's kernel panicked\n");
}

static void without_the_interface_too(void **state)
{
	vm.symbiotic = NULL;
	vm_report_panic(&vm);
	assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
}

/* If the guest does more in the meantime, its panic is still the reason. */
static void what_follows_is_no_other_reason(void **state)
{
	static const enum vm_end reasons[] = {VM_END_POWEROFF, VM_END_CRASH, VM_END_REBOOT};

	for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		vm_report_panic(&vm);
		vm_end(&vm, reasons[i]);
		assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
		teardown(state);
		setup(state);
	}
	vm_report_panic(&vm);
	assert_true(vm_panic_finish(&vm)); /* asked for by a reset */
	assert_int_equal(atomic_load(&vm.end), VM_END_PANIC);
	assert_int_equal(ends, 1);
}

static void others_end_a_vm_for_their_reasons(void **state)
{
	assert_int_equal(vm_panic_reason(&vm, VM_END_POWEROFF), VM_END_POWEROFF);
	assert_int_equal(vm_panic_reason(&vm, VM_END_REBOOT), VM_END_REBOOT);
	assert_false(vm_panic_finish(&vm));
	vm_report_panic(&vm);
	assert_int_equal(vm_panic_reason(&vm, VM_END_STOPPED), VM_END_STOPPED);
	assert_int_equal(vm_panic_reason(&vm, VM_END_FAILURE), VM_END_FAILURE);
}

/* Without the pvpanic driver the page's text counts, and survives the reset. */
static void the_text_alone(void **state)
{
	char text[SYM_PANIC_SIZE];

	assert_false(vm_panic_text(&vm, text));
	vm_panic_note(&vm);
	publish("Attempted to kill init!");
	assert_int_equal(vm_panic_reason(&vm, VM_END_REBOOT), VM_END_PANIC);
	logged("panicked: Attempted to kill init!\n");
	assert_true(vm_panic_text(&vm, text));
	vm_panic_note(&vm);
	spy.page = false; /* reset */
	assert_true(vm_panic_text(&vm, text));
	assert_string_equal(text, "Attempted to kill init!");
	/* The next panic is reported again. */
	spy.page = true;
	publish("the second");
	vm_panic_note(&vm);
	logged("panicked: the second\n");
}

static void nothing(struct vm *which, void *opaque)
{
}

static void a_handler_comes_before_the_end(void **state)
{
	vm_panic_set_handler(&vm, nothing, NULL);
	publish("sysrq triggered crash");
	vm_report_panic(&vm);
	assert_int_equal(handled, 1);
	assert_int_equal(atomic_load(&vm.end), VM_END_NONE);
	vm_panic_set_report(&vm, "/run/symvm/web.panic");
	vm_end(&vm, VM_END_PANIC);
	logged("panicked: sysrq triggered crash (report: /run/symvm/web.panic)\n");
}

/* A guest without the module: the handler found words elsewhere. */
static void words_may_come_from_the_handler(void **state)
{
	char text[SYM_PANIC_SIZE];

	vm.symbiotic = NULL;
	vm_panic_set_handler(&vm, nothing, NULL);
	vm_report_panic(&vm);
	assert_int_equal(handled, 1);
	atomic_store(&vm.panic.handled, true);
	vm_panic_set_text(&vm, "VFS: no root");
	vm_panic_log(&vm);
	logged("panicked: VFS: no root\n");
	assert_true(vm_panic_text(&vm, text));
	assert_string_equal(text, "VFS: no root");
}

/* However it is ended: a script that looks at the status learns of the panic. */
static void a_vm_that_was_kept_ends_with_its_panic(void **state)
{
	vm_report_panic(&vm);
	atomic_store(&vm.end, VM_END_NONE);
	atomic_store(&vm.panic.kept, true);
	assert_int_equal(vm_panic_reason(&vm, VM_END_STOPPED), VM_END_PANIC);
	assert_int_equal(vm_panic_reason(&vm, VM_END_FAILURE), VM_END_FAILURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_text_first, setup, teardown),
		cmocka_unit_test_setup_teardown(the_event_first, setup, teardown),
		cmocka_unit_test_setup_teardown(the_event_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_page_nothing_is_waited_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_the_interface_too, setup, teardown),
		cmocka_unit_test_setup_teardown(what_follows_is_no_other_reason, setup, teardown),
		cmocka_unit_test_setup_teardown(others_end_a_vm_for_their_reasons, setup, teardown),
		cmocka_unit_test_setup_teardown(the_text_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_handler_comes_before_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(words_may_come_from_the_handler, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vm_that_was_kept_ends_with_its_panic, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
