// SPDX-License-Identifier: BSD-2-Clause
/* Publications to the guest: from all publishers together, and about the host only if allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <symbiotic/symcall.h>

#include "machine/publish.h"
#include "machine/service.h"
#include "machine/vm.h"

static struct vm vm;
static struct sym_publication last;
static unsigned published;

void sym_vm_publish(struct sym_vm *engine, const struct sym_publication *what)
{
	assert_ptr_equal(engine, vm.symbiotic);
	last = *what;
	/* The timer's publication, on the loop's thread. */
	if (++published == 2)
		event_loop_quit(vm.main_loop);
}

static void fill_window(struct vm *of, struct sym_publication *what)
{
	what->swap_windows[1] = 0x140000000;
}

static const struct publisher window_publisher = {.name = "window", .fill = fill_window};
PUBLISHER(window_publisher);

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	memset(&last, 0xff, sizeof(last));
	published = 0;
	vm.symbiotic = (struct sym_vm *)&vm;
	return event_loop_create(&vm.main_loop);
}

static int teardown(void **state)
{
	services_stop(&vm);
	event_loop_destroy(vm.main_loop);
	return 0;
}

static void start(void)
{
	struct error err = {""};

	if (services_start(&vm, &err) < 0)
		fail_msg("%s", err.text);
	publish_refresh(&vm);
}

static void all_publishers_fill_their_fields(void **state)
{
	start();
	assert_int_equal(published, 1);
	assert_int_equal(last.host_cpus, sysconf(_SC_NPROCESSORS_ONLN));
	assert_int_equal(last.swap_windows[0], 0);
	assert_int_equal(last.swap_windows[1], 0x140000000);
}

static void the_host_can_be_hidden_and_only_the_host(void **state)
{
	vm.config.hide_host = true;
	start();
	assert_int_equal(last.host_cpus, 0);
	assert_int_equal(last.host_load, 0);
	assert_int_equal(last.psi_some, 0);
	assert_int_equal(last.psi_full, 0);
	assert_int_equal(last.swap_windows[1], 0x140000000);
}

static void it_is_published_again_and_again(void **state)
{
	start();
	memset(&last, 0, sizeof(last));
	event_loop_run(vm.main_loop);
	assert_int_equal(published, 2);
	assert_int_equal(last.swap_windows[1], 0x140000000);
}

static void nothing_is_published_without_the_interface(void **state)
{
	vm.symbiotic = NULL;
	start();
	assert_int_equal(published, 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(all_publishers_fill_their_fields),
		CASE(the_host_can_be_hidden_and_only_the_host),
		CASE(it_is_published_again_and_again),
		CASE(nothing_is_published_without_the_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
