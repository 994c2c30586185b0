/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of `symvm run`: the fixed ones, and one for each device class. */
#ifndef SYMVM_CLI_RUN_OPTIONS_H
#define SYMVM_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "jail/jail.h"
#include "machine/vm.h"
#include "util/error.h"
#include "util/log.h"

/* One device to be created. */
struct run_device {
	const struct device_class *class;
	const char *argument; /* points into argv; NULL without one */
};

struct run_options {
	struct vm_config config; /* owned until vm_create() takes it over */
	enum jail_mode jail;
	const char *user; /* points into argv; NULL: none given */
	enum log_level log_level;
	const char *log_file;  /* points into argv */
	const char *dump_file; /* points into argv; NULL: in the state directory */
	unsigned grace_s;      /* from SIGTERM to the plug */
	size_t device_count;
	struct run_device *devices; /* in creation order */
};

/*
 * Parses `run`'s arguments into @options, which is filled with defaults first. The caller frees it
 * by run_options_free(), whatever is returned. Returns 0, 1 if help was printed, or -EINVAL or
 * another -errno with words in @err. Main thread.
 */
int run_options_parse(int argc, char **argv, struct run_options *options, struct error *err);
/* Frees what @options still owns. Main thread. */
void run_options_free(struct run_options *options);

#endif
