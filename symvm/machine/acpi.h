/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables. iasl compiles them at build time (machine/acpi/); they are placed and fixed up here.
 * ACPI 6.3, hardware-reduced profile.
 */
#ifndef SYMVM_MACHINE_ACPI_H
#define SYMVM_MACHINE_ACPI_H

#include <stdint.h>

#include "memory/memory.h"
#include "util/error.h"

#define ACPI_AREA_START 0xe0000ull /* guests without help from a boot protocol search here, too */
#define ACPI_AREA_END	0xffff0ull /* the reset stub follows: BOOT_RESET_GPA */

/*
 * Writes RSDP, XSDT, FADT, DSDT, MADT (for @cpus vCPUs) and MCFG into the area and returns the
 * RSDP's address in @rsdp. vCPUs stopped. -E2BIG if the tables do not fit into the area.
 */
int acpi_build(struct guest_memory *memory, unsigned cpus, uint64_t *rsdp, struct error *err);

#endif
