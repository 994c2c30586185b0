// SPDX-License-Identifier: BSD-2-Clause
/* The list of a VM's devices: names, lookup, start, and the order of the end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "machine/device.h"
#include "machine/vm.h"

static struct vm vm;
static char destroyed[16], started[16];
static char failing; /* the device whose start fails */

/* A device only records its letter. */
struct letter {
	struct device device;
	char letter;
};

static void append(char *text, char letter)
{
	text[strlen(text)] = letter;
}

static int letter_start(struct device *device, struct error *err)
{
	struct letter *letter = (struct letter *)device;

	append(started, letter->letter);
	return letter->letter == failing ? error_set(err, -EIO, "%s: broken", device->name) : 0;
}

static void letter_destroy(struct device *device)
{
	append(destroyed, ((struct letter *)device)->letter);
}

static const struct device_ops first_ops = {.start = letter_start, .destroy = letter_destroy};
static const struct device_ops second_ops = {.start = letter_start, .destroy = letter_destroy};
static const struct device_ops silent_ops = {.destroy = letter_destroy};

static struct letter a, b, c, d;

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	memset(destroyed, 0, sizeof(destroyed));
	memset(started, 0, sizeof(started));
	failing = 0;
	a = (struct letter){.letter = 'a'};
	b = (struct letter){.letter = 'b'};
	c = (struct letter){.letter = 'c'};
	d = (struct letter){.letter = 'd'};
	device_add(&vm, &a.device, &first_ops, "disk", true);
	device_add(&vm, &b.device, &second_ops, "rtc", false);
	device_add(&vm, &c.device, &first_ops, "disk", true);
	device_add(&vm, &d.device, &silent_ops, "pci", false);
	return 0;
}

static void names_are_numbered_by_kind(void **state)
{
	assert_string_equal(a.device.name, "disk0");
	assert_string_equal(b.device.name, "rtc");
	assert_string_equal(c.device.name, "disk1");
	assert_ptr_equal(c.device.vm, &vm);
}

static void a_device_is_found_by_its_ops(void **state)
{
	static const struct device_ops other_ops = {.start = letter_start,
						    .destroy = letter_destroy};

	assert_ptr_equal(device_find(&vm, &first_ops), &a);
	assert_ptr_equal(device_find_next(&a.device), &c);
	assert_null(device_find_next(&c.device));
	assert_ptr_equal(device_find(&vm, &second_ops), &b);
	assert_null(device_find_next(&b.device));
	/* Ops with the same contents are not the same ops. */
	assert_null(device_find(&vm, &other_ops));
}

static void a_start_that_fails_is_the_last_one(void **state)
{
	struct error err = {""};

	assert_int_equal(devices_start(&vm, &err), 0);
	assert_string_equal(started, "abc");
	memset(started, 0, sizeof(started));
	failing = 'b';
	assert_int_equal(devices_start(&vm, &err), -EIO);
	assert_string_equal(started, "ab");
	assert_string_equal(err.text, "rtc: broken");
}

static void the_last_device_goes_first(void **state)
{
	devices_destroy(&vm);
	assert_string_equal(destroyed, "dcba");
	assert_null(vm.devices);
	assert_null(device_find(&vm, &first_ops));
	devices_destroy(&vm);
	assert_string_equal(destroyed, "dcba");
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(names_are_numbered_by_kind),
		CASE(a_device_is_found_by_its_ops),
		CASE(a_start_that_fails_is_the_last_one),
		CASE(the_last_device_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
