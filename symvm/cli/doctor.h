/* SPDX-License-Identifier: BSD-2-Clause */
/* What `symvm doctor` checks; see doctor.c. All functions: main thread. */
#ifndef SYMVM_CLI_DOCTOR_H
#define SYMVM_CLI_DOCTOR_H

#include <stddef.h>

struct doctor_machine {
	int kvm_fd; /* -errno if /dev/kvm cannot be opened */
	int vm_fd;  /* -errno if it cannot create a VM */
};

enum doctor_need {
	DOCTOR_REQUIRED, /* no guest runs without it */
	DOCTOR_WANTED,	 /* a feature that is on by default does not work without it */
	DOCTOR_OPTIONAL, /* a feature that is off by default, or speed */
};

struct doctor_check {
	const char *name;
	enum doctor_need need;
	const char *purpose; /* what it is for */
	const char *advice;  /* what to do if it is missing */
	/*
	 * 0 if it is there, else a negative errno value; words on it may be written to @detail.
	 * @value is the check's own (a capability's number).
	 */
	int (*probe)(const struct doctor_machine *machine, int value, char *detail, size_t size);
	int value;
};

extern const struct doctor_check doctor_kvm_checks[];
extern const size_t doctor_kvm_check_count;
extern const struct doctor_check doctor_host_checks[];
extern const size_t doctor_host_check_count;
extern const struct doctor_check doctor_jail_checks[];
extern const size_t doctor_jail_check_count;

/* Opens /dev/kvm and creates a VM there, as far as that works; the members hold the errors. */
void doctor_machine_open(struct doctor_machine *machine);
/* Closes both. */
void doctor_machine_close(struct doctor_machine *machine);

/* Runs three real-mode instructions in a VM of its own. 0, or -errno with words in @detail. */
int doctor_run_guest(const struct doctor_machine *machine, char *detail, size_t size);

#endif
