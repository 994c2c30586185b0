// SPDX-License-Identifier: BSD-2-Clause
/* Config space, BARs and MSI-X, from the guest's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define MEMORY_BAR 0u
#define IO_BAR	   2u

struct fixture {
	struct guest *guest;
	struct pci_function function;
	struct msix *msix;
	uint64_t last_offset;
	unsigned last_length, accesses;
	uint64_t moved_to;
	unsigned moves;
};

static void memory_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct fixture *fixture = opaque;

	if (msix_access(fixture->msix, offset, data, length, is_write))
		return;
	fixture->last_offset = offset;
	fixture->last_length = length;
	fixture->accesses++;
	if (!is_write)
		memset(data, 0x5a, length);
}

static void moved(void *opaque, uint64_t base)
{
	struct fixture *fixture = opaque;

	fixture->moved_to = base;
	fixture->moves++;
}

static void written(struct pci_function *function, unsigned offset, unsigned length)
{
	struct fixture *fixture = (struct fixture *)((char *)function -
						     offsetof(struct fixture, function));

	msix_config_written(fixture->msix, offset, length);
}

static int setup(void **state)
{
	static const struct pci_identity identity = {
		.vendor = 0x1234, .device = 0x5678, .class_code = 0x018000, .revision = 7};
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	fixture->guest = guest_create();
	fixture->function.vm = &fixture->guest->vm;
	fixture->function.config_written = written;
	pci_bar_set(&fixture->function, MEMORY_BAR, 0x2000, false, memory_access, fixture, NULL);
	pci_bar_set(&fixture->function, IO_BAR, 24, true, memory_access, fixture, moved);
	assert_int_equal(msix_create(&fixture->function, 3, MEMORY_BAR, 0x1000, 0x1800,
				     &fixture->msix, &err),
			 0);
	assert_int_equal(pci_function_add(&fixture->guest->vm, &fixture->function, &identity, &err),
			 0);
	assert_int_equal(fixture->function.slot, 1);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	pci_function_remove(&fixture->function);
	msix_destroy(fixture->msix);
	guest_destroy(fixture->guest);
	free(fixture);
	return 0;
}

static uint32_t read32(struct fixture *fixture, unsigned offset)
{
	return guest_config_read(fixture->guest, 1, offset, 4);
}

static void write32(struct fixture *fixture, unsigned offset, uint32_t value)
{
	guest_config_write(fixture->guest, 1, offset, value, 4);
}

static void command(struct fixture *fixture, uint16_t value)
{
	guest_config_write(fixture->guest, 1, PCI_COMMAND, value, 2);
}

static void test_identity(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(read32(fixture, 0), 0x56781234);
	assert_int_equal(read32(fixture, PCI_CLASS_REVISION), 0x01800007);
	assert_int_equal(guest_config_read(fixture->guest, 0, PCI_CLASS_REVISION, 4) >> 8,
			 0x060000);
	/* The other slots and functions are empty. */
	for (unsigned slot = 2; slot < PCI_SLOTS; slot++)
		assert_int_equal(guest_config_read(fixture->guest, slot, 0, 4), 0xffffffff);
	assert_int_equal(guest_read(fixture->guest, PCI_ECAM_BASE + 0x9000, 4), 0xffffffff);
	/* Read-only registers stay. */
	write32(fixture, 0, 0);
	write32(fixture, PCI_CLASS_REVISION, 0);
	write32(fixture, PCI_CAPABILITY_LIST, 0);
	assert_int_equal(read32(fixture, 0), 0x56781234);
	assert_int_equal(read32(fixture, PCI_CLASS_REVISION), 0x01800007);
	assert_int_equal(read32(fixture, PCI_CAPABILITY_LIST), 0x40);
}

static void test_odd_accesses(void **state)
{
	struct fixture *fixture = *state;
	uint64_t base = PCI_ECAM_BASE + 0x8000;

	assert_int_equal(guest_read(fixture->guest, base + 1, 2), 0xffff);
	assert_int_equal(guest_read(fixture->guest, base + 2, 4), 0xffffffff);
	assert_int_equal(guest_read(fixture->guest, base + 0x100, 4), 0xffffffff);
	assert_int_equal(guest_read(fixture->guest, base + 0xffc, 4), 0xffffffff);
	assert_int_equal(guest_read(fixture->guest, base, 8) & 0xffffffff, 0x56781234);
	assert_int_equal(guest_read(fixture->guest, base + 3, 1), 0x56);
	guest_write(fixture->guest, base + 0xfe, 0x1234, 4);
	guest_write(fixture->guest, base + 0xfff, 0x12, 1);
}

static uint32_t port(struct fixture *fixture, uint32_t address, unsigned offset, unsigned length)
{
	uint32_t value = 0;

	bus_dispatch(&fixture->guest->vm.pio, 0xcf8, &address, 4, true);
	bus_dispatch(&fixture->guest->vm.pio, 0xcfc + offset, &value, length, false);
	return value;
}

static void test_ports(void **state)
{
	struct fixture *fixture = *state;
	uint32_t value = 0;

	assert_int_equal(port(fixture, 0x80000800, 0, 4), 0x56781234);
	assert_int_equal(port(fixture, 0x80000800, 2, 2), 0x5678);
	assert_int_equal(port(fixture, 0x80000800, 3, 1), 0x56);
	assert_int_equal(port(fixture, 0x80000800, 1, 2), 0xffff);     /* not aligned */
	assert_int_equal(port(fixture, 0x00000800, 0, 4), 0xffffffff); /* not enabled */
	assert_int_equal(port(fixture, 0x80010800, 0, 4), 0xffffffff); /* bus 1 */
	assert_int_equal(port(fixture, 0x80000900, 0, 4), 0xffffffff); /* function 1 */
	assert_int_equal(port(fixture, 0x80001000, 0, 4), 0xffffffff); /* slot 2 */
	bus_dispatch(&fixture->guest->vm.pio, 0xcf8, &value, 4, false);
	assert_int_equal(value, 0x80001000);
	/* Other widths are not the address register. */
	value = 0;
	bus_dispatch(&fixture->guest->vm.pio, 0xcf8, &value, 2, true);
	bus_dispatch(&fixture->guest->vm.pio, 0xcfa, &value, 1, true);
	bus_dispatch(&fixture->guest->vm.pio, 0xcf8, &value, 4, false);
	assert_int_equal(value, 0x80001000);
}

static void test_bar_sizing(void **state)
{
	struct fixture *fixture = *state;
	uint32_t memory = read32(fixture, PCI_BASE_ADDRESS_0);
	uint32_t io = read32(fixture, PCI_BASE_ADDRESS_2);

	assert_true(memory >= PCI_MMIO_BASE && memory < PCI_MMIO_END && memory % 0x2000 == 0);
	assert_true((io & ~3u) >= PCI_PIO_BASE && (io & ~3u) < PCI_PIO_END && (io & 3) == 1);
	write32(fixture, PCI_BASE_ADDRESS_0, 0xffffffff);
	write32(fixture, PCI_BASE_ADDRESS_2, 0xffffffff);
	write32(fixture, PCI_BASE_ADDRESS_1, 0xffffffff);
	assert_int_equal(read32(fixture, PCI_BASE_ADDRESS_0), 0xffffe000);
	assert_int_equal(read32(fixture, PCI_BASE_ADDRESS_2), 0xffffffe1);
	assert_int_equal(read32(fixture, PCI_BASE_ADDRESS_1), 0);
	write32(fixture, PCI_ROM_ADDRESS, 0xffffffff);
	assert_int_equal(read32(fixture, PCI_ROM_ADDRESS), 0);
}

static void test_bar_moves(void **state)
{
	struct fixture *fixture = *state;
	uint32_t memory = read32(fixture, PCI_BASE_ADDRESS_0);
	uint32_t io = read32(fixture, PCI_BASE_ADDRESS_2) & ~3u;

	/* No BAR decodes before it is enabled. */
	assert_int_equal(guest_read(fixture->guest, memory, 4), 0xffffffff);
	command(fixture, PCI_COMMAND_MEMORY);
	assert_int_equal(guest_read(fixture->guest, memory + 8, 4), 0x5a5a5a5a);
	assert_int_equal(fixture->last_offset, 8);
	assert_int_equal(fixture->moves, 0);
	command(fixture, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(fixture->moved_to, io);
	/* No device answers accesses that cross the end. */
	assert_int_equal(guest_read(fixture->guest, memory + 0x1ffe, 4), 0xffffffff);
	/* The BAR moves, and leaves the old place. */
	write32(fixture, PCI_BASE_ADDRESS_0, 0xd0000000);
	assert_int_equal(guest_read(fixture->guest, 0xd0000000, 2), 0x5a5a);
	assert_int_equal(guest_read(fixture->guest, memory, 2), 0xffff);
	write32(fixture, PCI_BASE_ADDRESS_2, 0xd000);
	assert_int_equal(fixture->moved_to, 0xd000);
	command(fixture, 0);
	assert_int_equal(fixture->moved_to, 0);
	assert_int_equal(guest_read(fixture->guest, 0xd0000000, 2), 0xffff);
	pci_function_reset(&fixture->function);
	assert_int_equal(read32(fixture, PCI_BASE_ADDRESS_0), memory);
}

static void test_bar_outside_windows(void **state)
{
	static const uint32_t places[] = {0,	      0x1000,	  0xbfffe000, PCI_MMIO_END,
					  0xe0000000, 0xfee00000, 0xffffe000};
	struct fixture *fixture = *state;

	command(fixture, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		write32(fixture, PCI_BASE_ADDRESS_0, places[i]);
		assert_int_equal(fixture->function.bars[MEMORY_BAR].mapped_at, 0);
	}
	/* Not over the platform's ports, nor beyond the last one. */
	write32(fixture, PCI_BASE_ADDRESS_2, 0xce0);
	assert_int_equal(fixture->moved_to, 0);
	write32(fixture, PCI_BASE_ADDRESS_2, 0x10000);
	assert_int_equal(fixture->moved_to, 0);
	write32(fixture, PCI_BASE_ADDRESS_2, 0xffe0);
	assert_int_equal(fixture->moved_to, 0xffe0);
}

static void test_capabilities_fill(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[64] = {0};
	int at, last = 0;

	while ((at = pci_capability_add(&fixture->function, PCI_CAP_ID_VNDR, data, 33)) > 0) {
		assert_int_equal(at % 4, 0);
		last = at;
	}
	assert_int_equal(at, -ENOSPC);
	assert_true(last + 33 <= (int)PCI_CONFIG_SIZE);
	assert_int_equal(pci_capability_add(&fixture->function, 9, data, 1), -ENOSPC);
}

static void vector_write(struct fixture *fixture, unsigned vector, unsigned at, uint32_t value)
{
	guest_write(fixture->guest,
		    fixture->function.bars[MEMORY_BAR].mapped_at + 0x1000 + 16 * vector + at, value,
		    4);
}

static void msix_control(struct fixture *fixture, uint16_t value)
{
	guest_config_write(fixture->guest, 1, 0x42, value, 2);
}

static uint64_t pending(struct fixture *fixture)
{
	return guest_read(fixture->guest, fixture->function.bars[MEMORY_BAR].mapped_at + 0x1800, 8);
}

static void test_msix(void **state)
{
	struct fixture *fixture = *state;

	command(fixture, PCI_COMMAND_MEMORY);
	assert_int_equal(guest_config_read(fixture->guest, 1, 0x42, 2), 2);
	assert_int_equal(guest_read(fixture->guest,
				    fixture->function.bars[MEMORY_BAR].mapped_at + 0x1000 + 12, 4),
			 PCI_MSIX_ENTRY_CTRL_MASKBIT);
	msix_notify(fixture->msix, 0); /* off: lost */
	for (unsigned i = 0; i < 3; i++) {
		vector_write(fixture, i, 0, 0xfee01000);
		vector_write(fixture, i, 8, 0x30 + i);
	}
	msix_control(fixture, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(guest_interrupts(fixture->guest, 0x30), -1);
	assert_int_equal(pending(fixture), 0);
	msix_notify(fixture->msix, 0);
	msix_notify(fixture->msix, 2);
	assert_int_equal(pending(fixture), 5);
	vector_write(fixture, 0, 12, 0);
	assert_int_equal(pending(fixture), 4);
	assert_int_equal(guest_interrupts(fixture->guest, 0x30), 1);
	msix_notify(fixture->msix, 0);
	assert_int_equal(guest_interrupts(fixture->guest, 0x30), 1);
	/* The function's mask. */
	msix_control(fixture, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	msix_notify(fixture->msix, 0);
	assert_int_equal(guest_interrupts(fixture->guest, 0x30), -1);
	assert_int_equal(pending(fixture), 5);
	msix_control(fixture, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(guest_interrupts(fixture->guest, 0x30), 1);
	/* A new message for a live vector. */
	vector_write(fixture, 0, 8, 0x99);
	msix_notify(fixture->msix, 0);
	assert_int_equal(guest_interrupts(fixture->guest, 0x99), 1);
	/* After off and on, no interrupt is pending any more. */
	msix_control(fixture, 0);
	msix_control(fixture, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(pending(fixture), 0);
}

static void test_msix_odd(void **state)
{
	struct fixture *fixture = *state;
	uint64_t table;

	command(fixture, PCI_COMMAND_MEMORY);
	table = fixture->function.bars[MEMORY_BAR].mapped_at + 0x1000;
	msix_control(fixture, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned vector = 3; vector < 200; vector++)
		msix_notify(fixture->msix, vector);
	assert_int_equal(msix_eventfd(fixture->msix, 3), -1);
	assert_int_equal(msix_eventfd(fixture->msix, 0xffff), -1);
	guest_write(fixture->guest, table + 1, 0x11, 1);
	guest_write(fixture->guest, table + 2, 0x1122, 2);
	assert_int_equal(guest_read(fixture->guest, table, 4), 0);
	guest_write(fixture->guest, table + 8, 0xffffffff00000012ull, 8);
	assert_int_equal(guest_read(fixture->guest, table + 8, 8), 0x100000012ull);
	guest_write(fixture->guest, table + 0x800, UINT64_MAX, 8); /* pending bits: read-only */
	assert_int_equal(pending(fixture), 0);
	/* Right behind the last vector is ordinary register space. */
	fixture->accesses = 0;
	guest_read(fixture->guest, table + 48, 4);
	assert_int_equal(fixture->accesses, 1);
}

static void test_save_load(void **state)
{
	struct fixture *fixture = *state;
	struct serialize_writer first = {0}, second = {0};
	struct serialize_reader reader;

	command(fixture, PCI_COMMAND_MEMORY);
	write32(fixture, PCI_BASE_ADDRESS_0, 0xd0000000);
	vector_write(fixture, 1, 8, 0x77);
	msix_control(fixture, PCI_MSIX_FLAGS_ENABLE);
	msix_notify(fixture->msix, 1);
	assert_int_equal(pci_function_save(&fixture->function, &first), 0);
	assert_int_equal(msix_save(fixture->msix, &first), 0);
	pci_function_reset(&fixture->function);
	msix_reset(fixture->msix);
	reader = (struct serialize_reader){.data = first.data, .length = first.length};
	assert_int_equal(pci_function_load(&fixture->function, &reader), 0);
	assert_int_equal(msix_load(fixture->msix, &reader), 0);
	assert_int_equal(fixture->function.bars[MEMORY_BAR].mapped_at, 0xd0000000);
	assert_int_equal(pending(fixture), 2);
	assert_int_equal(pci_function_save(&fixture->function, &second), 0);
	assert_int_equal(msix_save(fixture->msix, &second), 0);
	assert_int_equal(first.length, second.length);
	assert_memory_equal(first.data, second.data, first.length);
	for (size_t cut = 0; cut < first.length; cut++) {
		reader = (struct serialize_reader){.data = first.data, .length = cut};
		assert_true(pci_function_load(&fixture->function, &reader) == -EINVAL ||
			    msix_load(fixture->msix, &reader) == -EINVAL);
	}
	first.data[1] ^= 1; /* another vendor */
	reader = (struct serialize_reader){.data = first.data, .length = first.length};
	assert_int_equal(pci_function_load(&fixture->function, &reader), -EINVAL);
	serialize_writer_free(&first);
	serialize_writer_free(&second);
}

static void test_slots_run_out(void **state)
{
	static const struct pci_identity identity = {.vendor = 1, .device = 2};
	static struct pci_function functions[PCI_SLOTS];
	struct fixture *fixture = *state;
	struct error err;
	unsigned count = 0;

	memset(functions, 0, sizeof(functions));
	while (pci_function_add(&fixture->guest->vm, &functions[count], &identity, &err) == 0)
		count++;
	assert_int_equal(count, PCI_SLOTS - 2);
	assert_non_null(strstr(err.text, "slots"));
	while (count--)
		pci_function_remove(&functions[count]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_identity),
		TEST(test_odd_accesses),
		TEST(test_ports),
		TEST(test_bar_sizing),
		TEST(test_bar_moves),
		TEST(test_bar_outside_windows),
		TEST(test_capabilities_fill),
		TEST(test_msix),
		TEST(test_msix_odd),
		TEST(test_save_load),
		TEST(test_slots_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
