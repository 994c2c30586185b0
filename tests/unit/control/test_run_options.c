// SPDX-License-Identifier: BSD-2-Clause
/* The arguments of `symvm run`: their results, and one good line for each bad one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/run_options.h"

/* Device classes of this test's own. */
static int create_nothing(struct vm *vm, const char *argument, struct error *err)
{
	return 0;
}
static const struct device_class late_class = {
	.option = "late", .argument = "WHAT", .help = "h", .order = 100, .create = create_nothing};
DEVICE_CLASS(late_class);
static const struct device_class always_class = {
	.help = "h", .order = 50, .create = create_nothing};
DEVICE_CLASS(always_class);
static const struct device_class early_class = {
	.option = "early", .argument = "WHAT", .help = "h", .order = 10, .create = create_nothing};
DEVICE_CLASS(early_class);
static const struct device_class default_class = {.option = "default",
						  .argument = "WHAT",
						  .help = "h",
						  .order = 20,
						  .default_argument = "usual",
						  .create = create_nothing};
DEVICE_CLASS(default_class);
static const struct device_class optional_class = {.option = "optional",
						   .argument = "WHAT",
						   .help = "h",
						   .order = 200,
						   .optional_argument = true,
						   .create = create_nothing};
DEVICE_CLASS(optional_class);

static struct run_options options;
static struct error err;

static int parse(char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	err.text[0] = '\0';
	return run_options_parse(argc, argv, &options, &err);
}
#define PARSE(...) parse((char *[]){"run", __VA_ARGS__, NULL})

static void expect_refusal(int status, const char *words)
{
	assert_int_equal(status, -EINVAL);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in '%s'", words, err.text);
	run_options_free(&options);
}

static void defaults(void **state)
{
	assert_int_equal(PARSE("--kernel", "k"), 0);
	assert_string_equal(options.config.kernel, "k");
	assert_null(options.config.initrd);
	assert_string_equal(options.config.command_line, "console=ttyS0");
	assert_int_equal(options.config.cpus, 1);
	assert_int_equal(options.config.memory.size, 512u << 20);
	assert_false(options.config.memory.huge_pages);
	assert_true(options.config.symbiotic);
	assert_false(options.config.exit_on_reboot);
	assert_int_equal(options.config.on_triple_fault, VM_TRIPLE_FAULT_ANNOUNCED);
	assert_int_equal(options.config.on_panic, VM_ON_PANIC_REPORT);
	assert_null(options.dump_file);
	assert_false(options.config.start_paused);
	assert_false(options.config.hide_host);
	assert_int_equal(options.jail, JAIL_ON);
	assert_int_equal(options.log_level, LOG_LEVEL_WARN);
	assert_int_equal(strncmp(options.config.name, "vm-", 3), 0);
	run_options_free(&options);
}

static void everything_given(void **state)
{
	assert_int_equal(PARSE("--kernel=k", "--initrd", "i", "--append=", "--memory=1G,huge",
			       "--cpus=16", "--name=n", "--symbiotic=off", "--on-reboot=exit",
			       "--on-triple-fault=reset", "--jail=log", "--paused",
			       "--log-level=debug", "--log-file=f", "--on-panic=dump",
			       "--dump-file=d"),
			 0);
	assert_int_equal(options.config.on_panic, VM_ON_PANIC_DUMP);
	assert_string_equal(options.dump_file, "d");
	assert_string_equal(options.config.initrd, "i");
	assert_string_equal(options.config.command_line, "");
	assert_int_equal(options.config.memory.size, 1u << 30);
	assert_true(options.config.memory.huge_pages);
	assert_int_equal(options.config.cpus, 16);
	assert_string_equal(options.config.name, "n");
	assert_false(options.config.symbiotic);
	assert_true(options.config.exit_on_reboot);
	assert_int_equal(options.config.on_triple_fault, VM_TRIPLE_FAULT_RESET);
	assert_true(options.config.start_paused);
	assert_int_equal(options.jail, JAIL_LOG);
	assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(options.log_file, "f");
	run_options_free(&options);
}

static void expect_device(unsigned index, const struct device_class *class, const char *argument)
{
	assert_true(index < options.device_count);
	assert_ptr_equal(options.devices[index].class, class);
	if (argument)
		assert_string_equal(options.devices[index].argument, argument);
	else
		assert_null(options.devices[index].argument);
}

static void devices_come_in_order(void **state)
{
	assert_int_equal(PARSE("--kernel=k", "--late=l1", "--optional", "--early=e1", "--late=l2",
			       "--optional=o2", "--early", "e2"),
			 0);
	expect_device(0, &early_class, "e1");
	expect_device(1, &early_class, "e2");
	expect_device(2, &default_class, "usual");
	expect_device(3, &always_class, NULL);
	expect_device(4, &late_class, "l1");
	expect_device(5, &late_class, "l2");
	expect_device(6, &optional_class, NULL);
	expect_device(7, &optional_class, "o2");
	assert_int_equal(options.device_count, 8);
	run_options_free(&options);
}

static void a_given_device_replaces_the_default(void **state)
{
	assert_int_equal(PARSE("--kernel=k", "--default=own"), 0);
	expect_device(0, &default_class, "own");
	expect_device(1, &always_class, NULL);
	assert_int_equal(options.device_count, 2);
	run_options_free(&options);
}

static void devices_are_bounded(void **state)
{
	char *argv[80] = {"run", "--kernel=k"};
	int argc = 2;

	while (argc < 75)
		argv[argc++] = "--late=x";
	expect_refusal(parse(argv), "more than 64 devices");
}

static void numbers_have_limits(void **state)
{
	expect_refusal(PARSE("--kernel=k", "--cpus=0"), "--cpus: 0 is outside of 1 to 16");
	expect_refusal(PARSE("--kernel=k", "--cpus=17"), "--cpus: 17 is outside of 1 to 16");
	expect_refusal(PARSE("--kernel=k", "--cpus=999"), "--cpus: 999 is outside of 1 to 16");
	expect_refusal(PARSE("--kernel=k", "--cpus=-1"), "--cpus: '-1' is not a number");
	expect_refusal(PARSE("--kernel=k", "--cpus=1x"), "--cpus: '1x' is not a number");
	expect_refusal(PARSE("--kernel=k", "--cpus="), "--cpus: '' is not a number");
	expect_refusal(PARSE("--kernel=k", "--cpus=99999999999999999999"), "outside of 1 to 16");
	expect_refusal(PARSE("--kernel=k", "--memory=0"), "--memory: '0'");
	expect_refusal(PARSE("--kernel=k", "--memory=1000"), "not a multiple of 1 MiB");
	expect_refusal(PARSE("--kernel=k", "--memory=3M,huge"), "not a multiple of 2 MiB");
	expect_refusal(PARSE("--kernel=k", "--memory=-1M"), "is not a size");
	expect_refusal(PARSE("--kernel=k", "--memory=99999999T"), "too large");
	expect_refusal(PARSE("--kernel=k", "--memory="), "--memory");
	expect_refusal(PARSE("--kernel=k", "--memory=64M,hug"), "--memory: unknown key 'hug'");
}

static void choices_are_checked(void **state)
{
	expect_refusal(PARSE("--kernel=k", "--symbiotic=maybe"), "--symbiotic: 'maybe'");
	expect_refusal(PARSE("--kernel=k", "--on-reboot=stay"), "--on-reboot: 'stay'");
	expect_refusal(PARSE("--kernel=k", "--on-triple-fault=hang"), "--on-triple-fault: 'hang'");
	expect_refusal(PARSE("--kernel=k", "--jail=ajar"), "--jail: 'ajar'");
	expect_refusal(PARSE("--kernel=k", "--on-panic=hang"), "--on-panic: 'hang'");
	expect_refusal(PARSE("--kernel=k", "--dump-file=f"),
		       "--dump-file: only with --on-panic dump");
	expect_refusal(PARSE("--kernel=k", "--dump-file=f", "--on-panic=pause"), "--dump-file");
	expect_refusal(PARSE("--kernel=k", "--log-level=all"), "--log-level: 'all'");
	expect_refusal(PARSE("--kernel=k", "--name="), "--name");
	expect_refusal(PARSE("--kernel="), "--kernel");
}

static void what_is_unknown_is_named(void **state)
{
	expect_refusal(PARSE("--kernel=k", "--bogus"), "unknown option '--bogus'");
	expect_refusal(PARSE("--bogus=1", "--kernel=k"), "unknown option '--bogus=1'");
	expect_refusal(PARSE("-x"), "unknown option '-x'");
	expect_refusal(PARSE("-xy", "--kernel=k"), "unknown option '-xy'");
	expect_refusal(PARSE("--kernel=k", "file"), "unexpected argument 'file'");
	expect_refusal(PARSE("--kernel=k", "--paused", "file"), "unexpected argument 'file'");
	expect_refusal(PARSE("--kernel=k", "--", "--paused"), "unexpected argument '--paused'");
	expect_refusal(PARSE("--kernel"), "option --kernel needs a value");
	expect_refusal(PARSE("--kernel=k", "--paused=1"), "option --paused takes no value");
	expect_refusal(parse((char *[]){"run", NULL}), "--kernel FILE is missing");
}

static void the_last_of_an_option_counts(void **state)
{
	assert_int_equal(PARSE("--kernel=a", "--kernel=b", "--append=x", "--append=y", "--name=m",
			       "--name=n"),
			 0);
	assert_string_equal(options.config.kernel, "b");
	assert_string_equal(options.config.command_line, "y");
	assert_string_equal(options.config.name, "n");
	run_options_free(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(everything_given),
		cmocka_unit_test(devices_come_in_order),
		cmocka_unit_test(a_given_device_replaces_the_default),
		cmocka_unit_test(devices_are_bounded),
		cmocka_unit_test(numbers_have_limits),
		cmocka_unit_test(choices_are_checked),
		cmocka_unit_test(what_is_unknown_is_named),
		cmocka_unit_test(the_last_of_an_option_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
