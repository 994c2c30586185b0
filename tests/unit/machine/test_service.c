// SPDX-License-Identifier: BSD-2-Clause
/* The table of services: started with the VM, found by their ops, stopped at its end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "machine/service.h"
#include "machine/vm.h"

static struct vm vm;
static int states[2];
static unsigned started, stopped, attempts, failing; /* the attempt that fails, from 1 */
static void *first_started, *last_stopped;

/* The linker decides the order of the services. */
static int start(int *mine, void **state, struct error *err)
{
	if (++attempts == failing)
		return error_set(err, -ENOMEM, "no timer");
	if (started++ == 0)
		first_started = mine;
	*state = mine;
	return 0;
}

static int one_start(struct vm *of, void **state, struct error *err)
{
	assert_ptr_equal(of, &vm);
	return start(&states[0], state, err);
}

static int other_start(struct vm *of, void **state, struct error *err)
{
	assert_ptr_equal(of, &vm);
	return start(&states[1], state, err);
}

static void stop(void *state)
{
	stopped++;
	last_stopped = state;
}

static const struct service_ops one_ops = {"one", .start = one_start, .stop = stop};
SERVICE(one_ops);
static const struct service_ops other_ops = {"other", .start = other_start, .stop = stop};
SERVICE(other_ops);

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	vm.symbiotic = (struct sym_vm *)&vm;
	started = stopped = attempts = failing = 0;
	first_started = last_stopped = NULL;
	return 0;
}

static void each_service_of_the_table_is_started_and_stopped_once(void **state)
{
	/* A service with the same name is not the same service. */
	static const struct service_ops stranger = {"one", .start = one_start, .stop = stop};
	struct error err = {""};

	assert_int_equal(services_start(&vm, &err), 0);
	assert_int_equal(started, 2);
	assert_ptr_equal(service_find(&vm, &one_ops), &states[0]);
	assert_ptr_equal(service_find(&vm, &other_ops), &states[1]);
	assert_null(service_find(&vm, &stranger));
	services_stop(&vm);
	assert_int_equal(stopped, 2);
	assert_ptr_equal(last_stopped, first_started);
	assert_null(service_find(&vm, &one_ops));
	services_stop(&vm);
	assert_int_equal(stopped, 2);
}

static void a_service_that_fails_fails_the_start_and_the_rest_can_stop(void **state)
{
	struct error err = {""};

	failing = 2;
	assert_int_equal(services_start(&vm, &err), -ENOMEM);
	assert_string_equal(err.text, "no timer");
	assert_int_equal(started, 1);
	assert_true(!service_find(&vm, &one_ops) != !service_find(&vm, &other_ops));
	services_stop(&vm);
	assert_int_equal(stopped, 1);
	assert_ptr_equal(last_stopped, first_started);
}

static void a_vm_without_the_interface_has_no_services(void **state)
{
	struct error err = {""};

	vm.symbiotic = NULL;
	assert_int_equal(services_start(&vm, &err), 0);
	assert_int_equal(started, 0);
	assert_null(service_find(&vm, &one_ops));
	services_stop(&vm);
	assert_int_equal(stopped, 0);
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_service_of_the_table_is_started_and_stopped_once),
		CASE(a_service_that_fails_fails_the_start_and_the_rest_can_stop),
		CASE(a_vm_without_the_interface_has_no_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
