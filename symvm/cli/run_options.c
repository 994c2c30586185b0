// SPDX-License-Identifier: BSD-2-Clause
/*
 * The options of `symvm run`. The fixed options are a constant table; each device class adds its
 * own, so a new device needs no change here. After parsing, classes without an option and defaults
 * that were not overridden are added, and the devices are sorted by their classes' order.
 */
#include "cli/run_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "util/keyval.h"
#include "util/registry.h"

#define MIB		     (1024ull * 1024)
#define DEFAULT_MEMORY	     (512 * MIB)
#define DEFAULT_COMMAND_LINE "console=ttyS0"
#define DEVICES_MAX	     64
#define GRACE_DEFAULT_S	     30
#define GRACE_MAX_S	     86400
#define WEIGHT_MAX	     10000

REGISTRY_DECLARE(symvm_device_classes, struct device_class);

static size_t class_count(void)
{
	return (size_t)(__stop_symvm_device_classes - __start_symvm_device_classes);
}

/* @pages: why the size must be whole 2 MiB pages, or NULL. */
static int set_memory_size(uint64_t *value, const char *text, const char *pages, struct error *err)
{
	int status = keyval_parse_size(text, value);

	if (status == -ERANGE)
		return error_set(err, status, "--memory: '%s' is too large", text);
	if (status < 0)
		return error_set(err, status, "--memory: '%s' is not a size", text);
	if (*value == 0 || *value % MIB)
		return error_set(err, -EINVAL, "--memory: '%s' is not a multiple of 1 MiB", text);
	if (pages && *value % (2 * MIB))
		return error_set(err, -EINVAL, "--memory: '%s' is not a multiple of 2 MiB%s", text,
				 pages);
	return 0;
}

static uint64_t memory_most(const struct memory_config *memory)
{
	return memory->max ? memory->max : memory->size;
}

static int take_memory(void *input, const struct argument *argument, const char *text,
		       struct error *err)
{
	struct memory_config *memory = &((struct run_options *)input)->config.memory;
	char *size = NULL, *max = NULL, *min = NULL;
	const char *pages = NULL;
	const struct keyval_field fields[] = {
		{.key = "size", .type = KEYVAL_TEXT, .value = &size, .required = true},
		{.key = "max", .type = KEYVAL_TEXT, .value = &max},
		{.key = "min", .type = KEYVAL_TEXT, .value = &min},
		{.key = "huge", .type = KEYVAL_FLAG, .value = &memory->huge_pages},
		{0},
	};
	int status;

	memory->huge_pages = false;
	memory->max = memory->min = 0;
	status = keyval_parse("memory", text, fields, err);
	if (status < 0)
		return status;
	if (memory->huge_pages)
		pages = ", the huge page size";
	else if (max)
		pages = ", as max= requires";
	status = set_memory_size(&memory->size, size, pages, err);
	if (status == 0 && max)
		status = set_memory_size(&memory->max, max, pages, err);
	if (status == 0 && min)
		status = set_memory_size(&memory->min, min, pages, err);
	if (status == 0 && max && memory->max < memory->size)
		status = error_set(err, -EINVAL, "--memory: max=%s is less than %s", max, size);
	if (status == 0 && min && (memory->min < memory->size || memory->min > memory_most(memory)))
		status = error_set(err, -EINVAL,
				   "--memory: min=%s is not between %s, which is never taken back, "
				   "and max",
				   min, size);
	free(size);
	free(max);
	free(min);
	return status;
}

static const char *const on_off[] = {"off", "on", NULL};
static const char *const yes_no[] = {"yes", "no", NULL}; /* stored as hide_host */
static const char *const reboot_choices[] = {"restart", "exit", NULL};
static const char *const disk_full_choices[] = {"error", "pause", NULL};
static const char *const panic_choices[] = {
	[VM_ON_PANIC_REPORT] = "report",
	[VM_ON_PANIC_DUMP] = "dump",
	[VM_ON_PANIC_PAUSE] = "pause",
	[VM_ON_PANIC_EXIT] = "exit",
	NULL,
};
static const char *const triple_fault_choices[] = {
	[VM_TRIPLE_FAULT_ANNOUNCED] = "announced",
	[VM_TRIPLE_FAULT_RESET] = "reset",
	[VM_TRIPLE_FAULT_CRASH] = "crash",
	NULL,
};
static const char *const jail_choices[] = {
	[JAIL_OFF] = "off", [JAIL_ON] = "on", [JAIL_LOG] = "log", [JAIL_TRAP] = "trap", NULL};
static const char *const log_level_choices[] = {[LOG_LEVEL_ERROR] = "error",
						[LOG_LEVEL_WARN] = "warn",
						[LOG_LEVEL_INFO] = "info",
						[LOG_LEVEL_DEBUG] = "debug",
						NULL};

#define INTO(member) ARGUMENT_INTO(struct run_options, member)

static const struct argument fixed_options[] = {
	{.name = "kernel",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 INTO(config.kernel),
	 .copy = true,
	 .help = "Kernel to boot: bzImage or ELF (vmlinux)"},
	{.name = "initrd",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 INTO(config.initrd),
	 .copy = true,
	 .help = "Initial RAM disk"},
	{.name = "append",
	 .type = ARGUMENT_TEXT,
	 .metavar = "TEXT",
	 INTO(config.command_line),
	 .copy = true,
	 .may_be_empty = true,
	 .help = "The kernel's command line (default: " DEFAULT_COMMAND_LINE ")"},
	{.name = "memory",
	 .type = ARGUMENT_CUSTOM,
	 .metavar = "SIZE[,max=SIZE][,min=SIZE][,huge]",
	 .take = take_memory,
	 .help = "RAM, in bytes or with K, M, G (default: 512M). max: RAM including what may be "
		 "plugged while the VM runs (virtio-mem). min: what a broker leaves to the VM "
		 "always (default: SIZE). huge: use 2 MiB pages"},
	{.name = "weight",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 INTO(config.weight),
	 .minimum = 1,
	 .maximum = WEIGHT_MAX,
	 .help = "The VM's weight among the VMs of its broker, 1 to 10000 (default: 100); only "
		 "with "
		 "--broker"},
	{.name = "cpus",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 INTO(config.cpus),
	 .minimum = 1,
	 .maximum = VM_VCPUS_MAX,
	 .help = "vCPUs, 1 to 16 (default: 1)"},
	{.name = "name",
	 .type = ARGUMENT_TEXT,
	 .metavar = "NAME",
	 INTO(config.name),
	 .copy = true,
	 .help = "Name for the other commands (default: vm-PID)"},
	{.name = "symbiotic",
	 .type = ARGUMENT_CHOICE,
	 .metavar = "on|off",
	 INTO(config.symbiotic),
	 .choices = on_off,
	 .help = "Offer the symbiotic interface (default: on)"},
	{.name = "on-disk-full",
	 .type = ARGUMENT_CHOICE,
	 INTO(config.pause_on_disk_full),
	 .choices = disk_full_choices,
	 .help = "If the host has no room for what a disk writes: report an I/O error to the guest "
		 "(default), or pause the VM until it is resumed"},
	{.name = "on-panic",
	 .type = ARGUMENT_CHOICE,
	 .metavar = "report|dump|pause|exit",
	 INTO(config.on_panic),
	 .choices = panic_choices,
	 .help = "If the guest's kernel panics: write a report and end (default), write a dump of "
		 "its memory and a report and end, write a report and keep the VM stopped for "
		 "questions, or just end"},
	{.name = "dump-file",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 INTO(dump_file),
	 .help = "Where the dump of --on-panic dump goes (default: NAME.vmcore in the state "
		 "directory)"},
	{.name = "on-reboot",
	 .type = ARGUMENT_CHOICE,
	 INTO(config.exit_on_reboot),
	 .choices = reboot_choices,
	 .help = "If the guest reboots (default: restart)"},
	{.name = "on-triple-fault",
	 .type = ARGUMENT_CHOICE,
	 INTO(config.on_triple_fault),
	 .choices = triple_fault_choices,
	 .help = "If the guest has a triple fault: treat it as a reboot if the guest announced one "
		 "(default), always as a reboot, or always as a crash"},
	{.name = "jail",
	 .type = ARGUMENT_CHOICE,
	 .metavar = "on|off|log|trap",
	 INTO(jail),
	 .choices = jail_choices,
	 .help = "Confine the VMM: user, namespaces, landlock, seccomp (default: on)"},
	{.name = "user",
	 .type = ARGUMENT_TEXT,
	 .metavar = "NAME|UID[:GID]",
	 INTO(user),
	 .help = "Run as this user once all files are open; for root (default: the system user "
		 "symvm, else the user that called sudo, else an id of its own)"},
	{.name = "paused",
	 .type = ARGUMENT_FLAG,
	 INTO(config.start_paused),
	 .help = "Start paused; 'symvm resume' lets the VM run"},
	{.name = "publish-host",
	 .type = ARGUMENT_CHOICE,
	 INTO(config.hide_host),
	 .choices = yes_no,
	 .help = "Tell a symbiotic guest the host's load, CPU count and memory pressure "
		 "(default: yes)"},
	{.name = "grace",
	 .type = ARGUMENT_DURATION,
	 .metavar = "SECONDS",
	 INTO(grace_s),
	 .maximum = GRACE_MAX_S,
	 .help = "How long the guest may take to power off after SIGTERM, SIGINT or SIGHUP "
		 "(default: 30; 0: end at once)"},
	{.name = "log-level",
	 .type = ARGUMENT_CHOICE,
	 .metavar = "LEVEL",
	 INTO(log_level),
	 .choices = log_level_choices,
	 .help = "error, warn (default), info or debug"},
	{.name = "log-file",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 INTO(log_file),
	 .may_be_empty = true,
	 .help = "Append the log to FILE (default: standard error)"},
};
#define FIXED_COUNT (sizeof(fixed_options) / sizeof(fixed_options[0]))

static int add_device(struct run_options *options, const struct device_class *class,
		      const char *argument, struct error *err)
{
	if (options->device_count >= DEVICES_MAX + class_count())
		return error_set(err, -E2BIG, "run: more than %d devices", DEVICES_MAX);
	options->devices[options->device_count++] = (struct run_device){.class = class,
									.argument = argument};
	return 0;
}

static int take_device(void *input, const struct argument *argument, const char *value,
		       struct error *err)
{
	return add_device(input, argument->data, value, err);
}

/* All options of the command: the fixed ones and those of the device classes. */
static struct argument *make_options(void)
{
	size_t used = FIXED_COUNT;
	struct argument *options = calloc(FIXED_COUNT + class_count() + 1, sizeof(*options));
	const struct device_class *const *it;

	if (!options)
		return NULL;
	memcpy(options, fixed_options, sizeof(fixed_options));
	REGISTRY_FOR_EACH(symvm_device_classes, it) {
		if (!(*it)->option)
			continue;
		options[used++] = (struct argument){
			.name = (*it)->option,
			.type = ARGUMENT_CUSTOM,
			.metavar = (*it)->argument,
			.value_optional = (*it)->argument && (*it)->optional_argument,
			.help = (*it)->help,
			.take = take_device,
			.data = *it,
		};
	}
	return options;
}

/* Stable: devices of one class keep the order of the command line. */
static void sort_devices(struct run_device *devices, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct run_device device = devices[i];
		size_t j = i;

		for (; j > 0 && devices[j - 1].class->order > device.class->order; j--)
			devices[j] = devices[j - 1];
		devices[j] = device;
	}
}

static bool is_given(const struct run_options *options, const struct device_class *class)
{
	for (size_t i = 0; i < options->device_count; i++)
		if (options->devices[i].class == class)
			return true;
	return false;
}

static bool has_broker(const struct run_options *options)
{
	for (size_t i = 0; i < options->device_count; i++) {
		const char *name = options->devices[i].class->option;

		if (name && strcmp(name, "broker") == 0)
			return true;
	}
	return false;
}

static int finish(struct run_options *options, struct error *err)
{
	const struct device_class *const *it;
	char name[32];
	int status = 0;

	if (!options->config.kernel)
		return error_set(err, -EINVAL, "run: --kernel FILE is missing");
	if (options->dump_file && options->config.on_panic != VM_ON_PANIC_DUMP)
		return error_set(err, -EINVAL, "--dump-file: only with --on-panic dump");
	if ((options->config.weight || options->config.memory.min) && !has_broker(options))
		return error_set(err, -EINVAL, "%s: only with --broker",
				 options->config.weight ? "--weight" : "--memory: min=");
	REGISTRY_FOR_EACH(symvm_device_classes, it) {
		if (status == 0 && !(*it)->option)
			status = add_device(options, *it, NULL, err);
		else if (status == 0 && (*it)->default_argument && !is_given(options, *it))
			status = add_device(options, *it, (*it)->default_argument, err);
	}
	if (status < 0)
		return status;
	sort_devices(options->devices, options->device_count);
	if (!options->config.command_line)
		options->config.command_line = strdup(DEFAULT_COMMAND_LINE);
	if (!options->config.name) {
		snprintf(name, sizeof(name), "vm-%d", (int)getpid());
		options->config.name = strdup(name);
	}
	if (!options->config.command_line || !options->config.name)
		return error_set(err, -ENOMEM, "run: out of memory");
	return 0;
}

int run_options_parse(int argc, char **argv, struct run_options *options, struct error *err)
{
	struct arguments arguments = {
		.about = "Boot a Linux kernel in a new virtual machine and stay until it ends.",
		.notes = "The exit status says how the guest ended: 0 powered off, 1 symvm or the "
			 "host failed, 2 wrong usage, 3 kernel panic, 4 crash, 5 stopped by a "
			 "command or a signal, 6 rebooted with --on-reboot=exit.",
	};
	struct argument *list;
	int status;

	*options = (struct run_options){
		.config = {.cpus = 1, .memory.size = DEFAULT_MEMORY, .symbiotic = true},
		.jail = JAIL_ON,
		.log_level = LOG_LEVEL_WARN,
		.grace_s = GRACE_DEFAULT_S,
	};
	list = make_options();
	options->devices = calloc(DEVICES_MAX + class_count(), sizeof(*options->devices));
	if (!list || !options->devices) {
		free(list);
		return error_set(err, -ENOMEM, "run: out of memory");
	}
	arguments.options = list;
	status = arguments_parse(&arguments, argc, argv, options, NULL, err);
	free(list);
	return status == 0 ? finish(options, err) : status;
}

void run_options_free(struct run_options *options)
{
	free(options->config.name);
	free(options->config.kernel);
	free(options->config.initrd);
	free(options->config.command_line);
	free(options->devices);
	*options = (struct run_options){0};
}
