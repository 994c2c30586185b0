// SPDX-License-Identifier: BSD-2-Clause
/* MSI-X: a masked vector becomes pending, and fires once when it is unmasked. */
#include "virtio.h"

static uint8_t bytes[32];
static const struct part part = {bytes, sizeof(bytes), true};

static void masking(struct virtio *device, uint64_t control, uint32_t on, uint32_t off,
		    const char *what)
{
	uint32_t before = interrupt_counts[VECTOR_MSI];

	write32(control, on);
	virtio_request(device, 0, &part, 1);
	delay_us(20000);
	interrupts_on();
	delay_us(1000);
	interrupts_off();
	check(interrupt_counts[VECTOR_MSI] == before, "%s masked: no interrupt", what);
	check(read64(device->pending) & 2, "%s masked: the pending bit is set", what);
	write32(control, off);
	check(interrupt_wait(VECTOR_MSI, before + 1), "%s unmasked: the interrupt comes", what);
	check(interrupt_counts[VECTOR_MSI] == before + 1, "%s: only once", what);
	check(!(read64(device->pending) & 2), "%s: no longer pending", what);
}

static void msix(void)
{
	struct virtio device;
	uint32_t control;

	apic_enable();
	if (!check(virtio_find(&device, VIRTIO_RNG, 0), "a virtio-rng to play with"))
		return;
	check(read32(device.table + 12) == 1, "vectors are masked at power-on");
	check(virtio_start(&device, 0), "the driver starts");
	virtio_msix_set(&device, 1, VECTOR_MSI, false);
	write16(device.common + COMMON_QUEUE_SELECT, 0);
	write16(device.common + COMMON_QUEUE_VECTOR, 99);
	check(read16(device.common + COMMON_QUEUE_VECTOR) == 0xffff, "vector 99 is refused");
	write16(device.common + COMMON_QUEUE_VECTOR, 1);
	check(read16(device.common + COMMON_QUEUE_VECTOR) == 1, "vector 1 is taken");

	check(virtio_request(&device, 0, &part, 1) == sizeof(bytes), "a request is answered");
	check(interrupt_wait(VECTOR_MSI, 1), "its interrupt comes");
	masking(&device, device.table + 16 + 12, 1, 0, "vector");
	control = pci_read(device.slot, device.msix);
	masking(&device, pci_ecam(device.slot, device.msix), control | 0x40000000, control,
		"function");
}
TEST("msix", msix);
