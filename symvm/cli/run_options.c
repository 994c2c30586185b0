// SPDX-License-Identifier: BSD-2-Clause
#include "cli/command.h"
#include "cli/run_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/keyval.h"

#define MIB		     (1024ull * 1024)
#define DEFAULT_MEMORY	     (512 * MIB)
#define DEFAULT_COMMAND_LINE "console=ttyS0"
#define DEVICES_MAX	     64
#define GRACE_DEFAULT_S	     30
#define GRACE_MAX_S	     86400

REGISTRY_DECLARE(symvm_device_classes, struct device_class);

enum {
	KEY_KERNEL = 256,
	KEY_INITRD,
	KEY_APPEND,
	KEY_MEMORY,
	KEY_CPUS,
	KEY_NAME,
	KEY_SYMBIOTIC,
	KEY_ON_REBOOT,
	KEY_ON_DISK_FULL,
	KEY_ON_TRIPLE_FAULT,
	KEY_JAIL,
	KEY_USER,
	KEY_PAUSED,
	KEY_PUBLISH_HOST,
	KEY_GRACE,
	KEY_LOG_LEVEL,
	KEY_LOG_FILE,
	KEY_DEVICES = 1024, /* plus the index of the device class */
};

static const struct argp_option fixed_options[] = {
	{"kernel", KEY_KERNEL, "FILE", 0, "Kernel to boot: bzImage or ELF (vmlinux)", 0},
	{"initrd", KEY_INITRD, "FILE", 0, "Initial RAM disk", 0},
	{"append", KEY_APPEND, "TEXT", 0,
	 "The kernel's command line (default: " DEFAULT_COMMAND_LINE ")", 0},
	{"memory", KEY_MEMORY, "SIZE[,max=SIZE][,huge]", 0,
	 "RAM, in bytes or with K, M, G (default: 512M); max: with what may be plugged while it "
	 "runs (virtio-mem); huge: from 2 MiB pages",
	 0},
	{"cpus", KEY_CPUS, "N", 0, "vCPUs, 1 to 16 (default: 1)", 0},
	{"name", KEY_NAME, "NAME", 0, "Name for the other commands (default: vm-PID)", 0},
	{"symbiotic", KEY_SYMBIOTIC, "on|off", 0, "Offer the symbiotic interface (default: on)", 0},
	{"on-disk-full", KEY_ON_DISK_FULL, "error|pause", 0,
	 "when the host has no room for what a disk writes: an I/O error in the guest (default), "
	 "or the VM is paused until it is resumed",
	 0},
	{"on-reboot", KEY_ON_REBOOT, "restart|exit", 0,
	 "What a guest's reboot does (default: restart)", 0},
	{"on-triple-fault", KEY_ON_TRIPLE_FAULT, "announced|reset|crash", 0,
	 "What a triple fault is: a reboot if the guest announced one (default), always a reboot, "
	 "or always a crash",
	 0},
	{"jail", KEY_JAIL, "on|off|log|trap", 0,
	 "Confine the VMM: user, namespaces, landlock, seccomp (default: on)", 0},
	{"user", KEY_USER, "NAME|UID[:GID]", 0,
	 "Run as this user once all is open; for root (default: the system user symvm, else the "
	 "one who called sudo, else an id of its own)",
	 0},
	{"paused", KEY_PAUSED, NULL, 0, "Start paused; 'symvm resume' lets it run", 0},
	{"publish-host", KEY_PUBLISH_HOST, "yes|no", 0,
	 "Whether a symbiotic guest learns the host's load, CPU count and memory pressure "
	 "(default: "
	 "yes)",
	 0},
	{"grace", KEY_GRACE, "SECONDS", 0,
	 "How long the guest may take to power off after SIGTERM, SIGINT or SIGHUP (default: 30; "
	 "0: end at once)",
	 0},
	{"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warn (default), info or debug", 0},
	{"log-file", KEY_LOG_FILE, "FILE", 0, "Log to FILE, appending (default: standard error)",
	 0},
};
#define FIXED_COUNT (sizeof(fixed_options) / sizeof(fixed_options[0]))

struct parsing {
	struct run_options *options;
	struct error *err;
	size_t device_capacity;
};

static size_t class_count(void)
{
	return (size_t)(__stop_symvm_device_classes - __start_symvm_device_classes);
}

static int set_text(char **text, const char *value, const char *option, struct error *err)
{
	if (!*value)
		return error_set(err, -EINVAL, "--%s: a value is needed", option);
	free(*text);
	*text = strdup(value);
	return *text ? 0 : error_set(err, -ENOMEM, "--%s: out of memory", option);
}

static int set_choice(bool *value, const char *option, const char *text, const char *yes,
		      const char *no, struct error *err)
{
	*value = strcmp(text, yes) == 0;
	if (!*value && strcmp(text, no) != 0)
		return error_set(err, -EINVAL, "--%s: '%s' is neither %s nor %s", option, text, yes,
				 no);
	return 0;
}

static int set_grace(unsigned *seconds, const char *text, struct error *err)
{
	uint64_t number;

	if (keyval_parse_number(text, &number) < 0 || number > GRACE_MAX_S)
		return error_set(err, -EINVAL, "--grace: '%s' is not a number of seconds, 0 to %d",
				 text, GRACE_MAX_S);
	*seconds = (unsigned)number;
	return 0;
}

/* @pages: why it must be whole 2 MiB pages, or NULL. */
static int set_memory_size(uint64_t *value, const char *text, const char *pages, struct error *err)
{
	int status = keyval_parse_size(text, value);

	if (status == -ERANGE)
		return error_set(err, status, "--memory: '%s' is too large a number", text);
	if (status < 0)
		return error_set(err, status, "--memory: '%s' is not a size", text);
	if (*value == 0 || *value % MIB)
		return error_set(err, -EINVAL, "--memory: '%s' is not a multiple of 1 MiB", text);
	if (pages && *value % (2 * MIB))
		return error_set(err, -EINVAL, "--memory: '%s' is not a multiple of 2 MiB%s", text,
				 pages);
	return 0;
}

static int set_memory(struct memory_config *memory, const char *text, struct error *err)
{
	char *size = NULL, *max = NULL;
	const char *pages = NULL;
	const struct keyval_field fields[] = {
		{.key = "size", .type = KEYVAL_TEXT, .value = &size, .required = true},
		{.key = "max", .type = KEYVAL_TEXT, .value = &max},
		{.key = "huge", .type = KEYVAL_FLAG, .value = &memory->huge_pages},
		{0},
	};
	int status;

	memory->huge_pages = false;
	memory->max = 0;
	status = keyval_parse("memory", text, fields, err);
	if (status < 0)
		return status;
	if (memory->huge_pages)
		pages = ", the huge page size";
	else if (max)
		pages = ", as max= wants";
	status = set_memory_size(&memory->size, size, pages, err);
	if (status == 0 && max)
		status = set_memory_size(&memory->max, max, pages, err);
	if (status == 0 && max && memory->max < memory->size)
		status = error_set(err, -EINVAL, "--memory: max=%s is less than %s", max, size);
	free(size);
	free(max);
	return status;
}

static int set_cpus(unsigned *cpus, const char *text, struct error *err)
{
	uint64_t value;
	int status = keyval_parse_number(text, &value);

	if (status == -EINVAL)
		return error_set(err, -EINVAL, "--cpus: '%s' is not a number", text);
	if (status < 0 || value < 1 || value > VM_VCPUS_MAX)
		return error_set(err, -EINVAL, "--cpus: %s is outside of 1 to %u", text,
				 VM_VCPUS_MAX);
	*cpus = (unsigned)value;
	return 0;
}

static int add_device(struct parsing *parsing, const struct device_class *class,
		      const char *argument)
{
	struct run_options *options = parsing->options;

	if (options->device_count >= DEVICES_MAX + class_count())
		return error_set(parsing->err, -E2BIG, "run: more than %d devices", DEVICES_MAX);
	options->devices[options->device_count++] = (struct run_device){.class = class,
									.argument = argument};
	return 0;
}

static int set_triple_fault(enum vm_triple_fault *value, const char *text, struct error *err)
{
	static const char *const names[] = {
		[VM_TRIPLE_FAULT_ANNOUNCED] = "announced",
		[VM_TRIPLE_FAULT_RESET] = "reset",
		[VM_TRIPLE_FAULT_CRASH] = "crash",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*value = (enum vm_triple_fault)i;
			return 0;
		}
	return error_set(err, -EINVAL, "--on-triple-fault: '%s' is not announced, reset or crash",
			 text);
}

/* The options that don't go into the VM's own configuration. */
static int set_host_option(struct run_options *options, int key, char *arg, struct error *err)
{
	bool flag;
	int status;

	switch (key) {
	case KEY_ON_REBOOT:
		status = set_choice(&flag, "on-reboot", arg, "exit", "restart", err);
		options->config.exit_on_reboot = flag;
		return status;
	case KEY_ON_DISK_FULL:
		status = set_choice(&flag, "on-disk-full", arg, "pause", "error", err);
		options->config.pause_on_disk_full = flag;
		return status;
	case KEY_PUBLISH_HOST:
		return set_choice(&options->config.hide_host, "publish-host", arg, "no", "yes",
				  err);
	case KEY_ON_TRIPLE_FAULT:
		return set_triple_fault(&options->config.on_triple_fault, arg, err);
	case KEY_SYMBIOTIC:
		return set_choice(&options->config.symbiotic, "symbiotic", arg, "on", "off", err);
	case KEY_JAIL:
		if (jail_mode_parse(arg, &options->jail) < 0)
			return error_set(err, -EINVAL, "--jail: '%s' is not on, off, log or trap",
					 arg);
		return 0;
	case KEY_USER:
		if (!*arg)
			return error_set(err, -EINVAL, "--user: a value is needed");
		options->user = arg;
		return 0;
	case KEY_LOG_LEVEL:
		if (log_level_parse(arg, &options->log_level) < 0)
			return error_set(err, -EINVAL,
					 "--log-level: '%s' is not error, warn, info or debug",
					 arg);
		return 0;
	case KEY_LOG_FILE:
		options->log_file = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int set_option(struct parsing *parsing, int key, char *arg)
{
	struct vm_config *config = &parsing->options->config;
	struct error *err = parsing->err;

	switch (key) {
	case KEY_KERNEL:
		return set_text(&config->kernel, arg, "kernel", err);
	case KEY_INITRD:
		return set_text(&config->initrd, arg, "initrd", err);
	case KEY_APPEND:
		free(config->command_line);
		config->command_line = strdup(arg);
		return config->command_line ? 0 : error_set(err, -ENOMEM, "out of memory");
	case KEY_MEMORY:
		return set_memory(&config->memory, arg, err);
	case KEY_CPUS:
		return set_cpus(&config->cpus, arg, err);
	case KEY_NAME:
		return set_text(&config->name, arg, "name", err);
	case KEY_PAUSED:
		config->start_paused = true;
		return 0;
	case KEY_GRACE:
		return set_grace(&parsing->options->grace_s, arg, err);
	}
	if (key >= KEY_DEVICES && (size_t)(key - KEY_DEVICES) < class_count())
		return add_device(parsing, __start_symvm_device_classes[key - KEY_DEVICES], arg);
	return set_host_option(parsing->options, key, arg, err);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	int status = set_option(state->input, key, arg);

	return status < 0 ? EINVAL : status;
}

/* All options of the command: the fixed ones and those of the device classes. */
static struct argp_option *make_options(void)
{
	size_t classes = class_count(), used = FIXED_COUNT;
	struct argp_option *options = calloc(FIXED_COUNT + classes + 1, sizeof(*options));

	if (!options)
		return NULL;
	memcpy(options, fixed_options, sizeof(fixed_options));
	for (size_t i = 0; i < classes; i++) {
		const struct device_class *class = __start_symvm_device_classes[i];

		if (!class->option)
			continue;
		options[used++] = (struct argp_option){
			.name = class->option,
			.key = KEY_DEVICES + (int)i,
			.arg = class->argument,
			.flags = class->argument && class->optional_argument ? OPTION_ARG_OPTIONAL
									     : 0,
			.doc = class->help,
			.group = 1,
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

static int finish(struct parsing *parsing)
{
	struct run_options *options = parsing->options;
	const struct device_class *const *it;
	char name[32];
	int status = 0;

	if (!options->config.kernel)
		return error_set(parsing->err, -EINVAL, "run: --kernel FILE is missing");
	REGISTRY_FOR_EACH(symvm_device_classes, it) {
		if (status == 0 && !(*it)->option)
			status = add_device(parsing, *it, NULL);
		else if (status == 0 && (*it)->default_argument && !is_given(options, *it))
			status = add_device(parsing, *it, (*it)->default_argument);
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
		return error_set(parsing->err, -ENOMEM, "run: out of memory");
	return 0;
}

int run_options_parse(int argc, char **argv, struct run_options *options, struct error *err)
{
	struct parsing parsing = {.options = options, .err = err};
	struct argp argp = {
		.parser = parse_option,
		.doc = "Boot a Linux kernel in a new virtual machine and stay until it ends.\v"
		       "The exit status says how the guest ended: 0 it powered off, 1 symvm or the "
		       "host failed, 2 usage, 3 its kernel panicked, 4 it crashed, 5 it was "
		       "stopped "
		       "by command or signal, 6 it rebooted under --on-reboot=exit.",
	};
	struct argp_option *argp_options;
	int status;

	*options = (struct run_options){
		.config = {.cpus = 1, .memory.size = DEFAULT_MEMORY, .symbiotic = true},
		.jail = JAIL_ON,
		.log_level = LOG_LEVEL_WARN,
		.grace_s = GRACE_DEFAULT_S,
	};
	argp_options = make_options();
	options->devices = calloc(DEVICES_MAX + class_count(), sizeof(*options->devices));
	if (!argp_options || !options->devices) {
		free(argp_options);
		return error_set(err, -ENOMEM, "run: out of memory");
	}
	argp.options = argp_options;
	status = command_parse(&argp, argc, argv, &parsing, err);
	free(argp_options);
	return status == 0 ? finish(&parsing) : status;
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
