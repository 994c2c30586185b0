/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine for one device: a bus with one range, an interrupt line that is recorded. */
#ifndef TESTS_UNIT_DEVICES_STAND_INS_H
#define TESTS_UNIT_DEVICES_STAND_INS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/vm.h"
#include "util/serialize.h"

struct stand_in {
	struct vm vm;
	struct device *device;
	struct bus_range range;
	bool line;
	unsigned raised; /* rising edges */
	unsigned gsi;
	int ended; /* enum vm_end, -1 */
	unsigned panics;
	unsigned resets;
	pthread_t thread;
};

extern struct stand_in machine;

/* Makes the one device of the class whose option is @option (NULL: none). */
void machine_create(const char *option, const char *argument);
/* The same, and gives the error of create(). */
int machine_try(const char *option, const char *argument, struct error *err);
void machine_destroy(void);
/* Runs the I/O loop on a thread, and ends that. */
void machine_run_loop(void);
void machine_stop_loop(void);

uint8_t port_read(unsigned offset);
void port_write(unsigned offset, uint8_t value);

/* Saves, resets, loads: afterwards the state must be the same. */
void machine_save_and_load(void);

#endif
