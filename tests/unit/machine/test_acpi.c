// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "devices/pci.h"
#include "machine/acpi.h"

static uint8_t ram[ACPI_AREA_END];
static struct guest_memory memory = {
	.count = 1,
	.regions = {{.gpa = 0, .size = sizeof(ram), .hva = ram, .ram = true}},
};

static uint64_t field(uint64_t gpa, unsigned bytes)
{
	uint64_t value = 0;

	assert_true(gpa + bytes <= sizeof(ram));
	memcpy(&value, ram + gpa, bytes);
	return value;
}

static void check_sum(uint64_t gpa, uint64_t length)
{
	uint8_t sum = 0;

	assert_true(gpa + length <= sizeof(ram));
	for (uint64_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + ram[gpa + i]);
	assert_int_equal(sum, 0);
}

/* Walks from the RSDP, as a guest does; the table with @signature, whole and summed. */
static uint64_t find_table(uint64_t rsdp, const char *signature)
{
	uint64_t xsdt = field(rsdp + 24, 8);
	uint64_t count = (field(xsdt + 4, 4) - 36) / 8;

	assert_memory_equal(ram + rsdp, "RSD PTR ", 8);
	check_sum(rsdp, 20);
	check_sum(rsdp, 36);
	assert_memory_equal(ram + xsdt, "XSDT", 4);
	check_sum(xsdt, field(xsdt + 4, 4));
	for (uint64_t i = 0; i < count; i++) {
		uint64_t table = field(xsdt + 36 + 8 * i, 8);

		check_sum(table, field(table + 4, 4));
		if (memcmp(ram + table, signature, 4) == 0)
			return table;
	}
	return 0;
}

static unsigned enabled_cpus(uint64_t madt)
{
	uint64_t at = madt + 44, end = madt + field(madt + 4, 4);
	unsigned enabled = 0;

	while (at < end) {
		if (ram[at] == 0 && (ram[at + 4] & 1)) {
			assert_int_equal(ram[at + 3], enabled); /* APIC IDs without gaps */
			enabled++;
		}
		assert_true(ram[at + 1] >= 2);
		at += ram[at + 1];
	}
	assert_int_equal(at, end);
	return enabled;
}

static void test_tables_hang_together(void **state)
{
	for (unsigned cpus = 1; cpus <= 16; cpus++) {
		uint64_t rsdp, fadt, dsdt, mcfg;

		memset(ram, 0xee, sizeof(ram));
		assert_int_equal(acpi_build(&memory, cpus, &rsdp, NULL), 0);
		assert_int_equal(enabled_cpus(find_table(rsdp, "APIC")), cpus);
		fadt = find_table(rsdp, "FACP");
		assert_int_not_equal(fadt, 0);
		assert_true(field(fadt + 112, 4) & (1u << 20)); /* hardware-reduced */
		assert_true(field(fadt + 112, 4) & (1u << 10)); /* reset register */
		assert_true(field(fadt + 131, 1) >=
			    3); /* 6.3: a CPU that is not enabled does not exist */
		dsdt = field(fadt + 140, 8);
		assert_memory_equal(ram + dsdt, "DSDT", 4);
		check_sum(dsdt, field(dsdt + 4, 4));
		mcfg = find_table(rsdp, "MCFG");
		assert_int_equal(field(mcfg + 44, 8), PCI_ECAM_BASE);
		assert_int_equal(ram[ACPI_AREA_START - 1], 0xee);
	}
}

static void test_needs_its_memory(void **state)
{
	struct guest_memory small = memory;
	struct error err;
	uint64_t rsdp;

	small.regions[0].size = ACPI_AREA_START + 64;
	assert_true(acpi_build(&small, 1, &rsdp, &err) < 0);
	assert_non_null(strstr(err.text, "ACPI"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_hang_together),
		cmocka_unit_test(test_needs_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
