// SPDX-License-Identifier: BSD-2-Clause
#include "machine/acpi.h"

#include <errno.h>
#include <string.h>

#include "dsdt.hex"
#include "fadt.hex"
#include "madt.hex"
#include "mcfg.hex"

#define ACPI_HEADER_SIZE     36u
#define ACPI_LENGTH_OFFSET   4u
#define ACPI_CHECKSUM_OFFSET 9u
#define FADT_X_DSDT_OFFSET   140u /* ACPI 6.3, table 5-33 */
#define MADT_ENTRIES_OFFSET  44u
#define MADT_TYPE_LAPIC	     0u
#define MADT_LAPIC_ENABLED   1u

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_address;
	uint32_t length;
	uint64_t xsdt_address;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct acpi_placer {
	struct guest_memory *memory;
	uint64_t next;
	struct error *err;
};

static uint8_t checksum(const uint8_t *data, size_t length)
{
	uint8_t sum = 0;

	while (length--)
		sum = (uint8_t)(sum + *data++);
	return (uint8_t)-sum;
}

static void table_seal(uint8_t *table, size_t length)
{
	table[ACPI_CHECKSUM_OFFSET] = 0;
	table[ACPI_CHECKSUM_OFFSET] = checksum(table, length);
}

/* Copies a table to the next free place; returns its address or 0. */
static uint64_t table_place(struct acpi_placer *placer, const void *table, size_t length)
{
	uint64_t gpa = (placer->next + 15) & ~15ull;

	if (gpa + length > ACPI_AREA_END) {
		error_set(placer->err, -E2BIG, "ACPI tables outgrow their %llu bytes",
			  (unsigned long long)(ACPI_AREA_END - ACPI_AREA_START));
		return 0;
	}
	if (memory_write(placer->memory, gpa, table, length) < 0) {
		error_set(placer->err, -EFAULT, "ACPI tables: no RAM at 0x%llx",
			  (unsigned long long)gpa);
		return 0;
	}
	placer->next = gpa + length;
	return gpa;
}

/* Enables one local APIC in the MADT for each vCPU. */
static void madt_enable_cpus(uint8_t *madt, size_t length, unsigned cpus)
{
	size_t at = MADT_ENTRIES_OFFSET;

	while (at + 2 <= length && madt[at + 1] >= 2) {
		if (madt[at] == MADT_TYPE_LAPIC && madt[at + 3] < cpus)
			madt[at + 4] |= MADT_LAPIC_ENABLED;
		at += madt[at + 1];
	}
	table_seal(madt, length);
}

static uint64_t xsdt_place(struct acpi_placer *placer, const uint64_t *tables, size_t count)
{
	uint8_t xsdt[ACPI_HEADER_SIZE + 8 * 8] = {0};
	uint32_t length = (uint32_t)(ACPI_HEADER_SIZE + 8 * count);

	memcpy(xsdt, fadt_aml_code, ACPI_HEADER_SIZE); /* OEM and compiler fields */
	memcpy(xsdt, "XSDT", 4);
	memcpy(xsdt + ACPI_LENGTH_OFFSET, &length, sizeof(length));
	xsdt[8] = 1; /* revision */
	memcpy(xsdt + 16, "SYMVMXSD", 8);
	memcpy(xsdt + ACPI_HEADER_SIZE, tables, 8 * count);
	table_seal(xsdt, length);
	return table_place(placer, xsdt, length);
}

int acpi_build(struct guest_memory *memory, unsigned cpus, uint64_t *rsdp_gpa, struct error *err)
{
	struct acpi_rsdp rsdp = {
		.signature = "RSD PTR ", .oem_id = "SYMVM ", .revision = 2, .length = sizeof(rsdp)};
	struct acpi_placer placer = {memory, ACPI_AREA_START + sizeof(rsdp), err};
	uint8_t fadt[sizeof(fadt_aml_code)];
	uint8_t madt[sizeof(madt_aml_code)];
	uint64_t tables[3], dsdt;

	memcpy(fadt, fadt_aml_code, sizeof(fadt));
	memcpy(madt, madt_aml_code, sizeof(madt));
	dsdt = table_place(&placer, dsdt_aml_code, sizeof(dsdt_aml_code));
	memcpy(fadt + FADT_X_DSDT_OFFSET, &dsdt, sizeof(dsdt));
	table_seal(fadt, sizeof(fadt));
	madt_enable_cpus(madt, sizeof(madt), cpus);
	tables[0] = table_place(&placer, fadt, sizeof(fadt));
	tables[1] = table_place(&placer, madt, sizeof(madt));
	tables[2] = table_place(&placer, mcfg_aml_code, sizeof(mcfg_aml_code));
	rsdp.xsdt_address = xsdt_place(&placer, tables, 3);
	if (!dsdt || !tables[0] || !tables[1] || !tables[2] || !rsdp.xsdt_address)
		return -E2BIG;
	rsdp.checksum = checksum((const uint8_t *)&rsdp, 20);
	rsdp.extended_checksum = checksum((const uint8_t *)&rsdp, sizeof(rsdp));
	*rsdp_gpa = ACPI_AREA_START;
	return memory_write(memory, ACPI_AREA_START, &rsdp, sizeof(rsdp));
}
