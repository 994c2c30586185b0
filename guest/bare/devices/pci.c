// SPDX-License-Identifier: BSD-2-Clause
/* Config space by ECAM and by ports, BAR sizing and moving. */
#include "virtio.h"

static bool same_config(unsigned slot)
{
	for (unsigned offset = 0; offset < 256; offset += 4)
		if (pci_read(slot, offset) != pci_read_by_port(slot, offset))
			return check(false, "slot %u offset 0x%x: 0x%x by ECAM, 0x%x by port", slot,
				     offset, pci_read(slot, offset),
				     pci_read_by_port(slot, offset));
	return true;
}

static void both_ways(void)
{
	unsigned found = 0, same = 0;

	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		found += pci_read(slot, 0) != PCI_NOTHING;
		same += same_config(slot);
	}
	check(found >= 2, "%u functions on the bus", found);
	check(same == PCI_SLOTS, "ECAM and ports 0xcf8/0xcfc agree on all slots");
	check(pci_read(31, 0) == PCI_NOTHING, "an empty slot reads all ones");
	check(read32(pci_ecam(0, 0x1000)) == PCI_NOTHING, "function 1 of slot 0 is not there");
	check(read16(pci_ecam(0, 0)) == (pci_read(0, 0) & 0xffff) &&
		      read8(pci_ecam(0, 1)) == (pci_read(0, 0) >> 8 & 0xff),
	      "smaller accesses see the same bytes");
	out32(0xcf8, 0x80000000u);
	check(in16(0xcfe) == pci_read(0, 0) >> 16, "port 0xcfe is the upper half");
	out32(0xcf8, 0);
	check(in32(0xcfc) == PCI_NOTHING, "port 0xcfc reads all ones while disabled");
}

static void size_bar(const struct virtio *device, unsigned bar, uint32_t flags)
{
	uint32_t before = pci_read(device->slot, PCI_BAR(bar)), mask;
	uint32_t kind = flags & 1 ? 3 : 15;

	pci_write(device->slot, PCI_BAR(bar), PCI_NOTHING);
	mask = pci_read(device->slot, PCI_BAR(bar));
	pci_write(device->slot, PCI_BAR(bar), before);
	check((before & kind) == flags && (mask & kind) == flags, "BAR %u: flags 0x%x", bar, flags);
	mask = ~(mask & ~kind) + 1;
	check(mask && !(mask & (mask - 1)) && !((before & ~kind) % mask),
	      "BAR %u: size 0x%x, a power of two, base 0x%x aligned", bar, mask, before);
	check(pci_read(device->slot, PCI_BAR(bar)) == before, "BAR %u is back", bar);
}

static void move_bars(struct virtio *device)
{
	uint64_t old = device->common;
	uint32_t old_bar = pci_read(device->slot, PCI_BAR(1));

	pci_write(device->slot, PCI_BAR(1), 0xd8000000);
	check(read32(old + COMMON_QUEUES) == PCI_NOTHING, "the old place of BAR 1 is empty");
	check(read16(0xd8000000ull + COMMON_QUEUES) == device->queue_count,
	      "BAR 1 answers at its new place");
	pci_write(device->slot, PCI_BAR(1), 0x00100000);
	check(read16(0x00100000ull + COMMON_QUEUES) != device->queue_count || read8(0x100000) != 0,
	      "BAR 1 does not cover RAM");
	pci_write(device->slot, PCI_COMMAND, PCI_COMMAND_IO);
	pci_write(device->slot, PCI_BAR(1), old_bar);
	check(read32(old + COMMON_QUEUES) == PCI_NOTHING, "without memory space it is nowhere");
	pci_write(device->slot, PCI_COMMAND, 7);
	check(read16(old + COMMON_QUEUES) == device->queue_count, "and back");
}

static void moved_notify(struct virtio *device)
{
	static uint8_t bytes[16];
	const struct part part = {bytes, sizeof(bytes), true};

	pci_write(device->slot, PCI_BAR(0), 0xe001);
	device->notify = 0xe000;
	check(virtio_start(device, 0), "the driver starts with BAR 0 at port 0xe000");
	check(virtio_request(device, 0, &part, 1) == sizeof(bytes), "kicks arrive there");
}

static void pci(void)
{
	struct virtio device;

	both_ways();
	if (!check(virtio_find(&device, VIRTIO_RNG, 0), "a virtio-rng to play with"))
		return;
	size_bar(&device, 0, 1);
	size_bar(&device, 1, 0);
	move_bars(&device);
	moved_notify(&device);
}
TEST("pci", pci);
