// SPDX-License-Identifier: BSD-2-Clause
/* PCI config space of every function, by both ways; BARs on top of each other. */
#include "hostile.h"

struct target targets[TARGETS_MAX];
unsigned target_count;

void targets_find(void)
{
	static const uint8_t types[] = {VIRTIO_NET, VIRTIO_BLOCK, VIRTIO_CONSOLE, VIRTIO_RNG,
					VIRTIO_VSOCK};

	for (unsigned i = 0; i < sizeof(types); i++) {
		for (unsigned n = 0; target_count < TARGETS_MAX; n++) {
			struct target *target = &targets[target_count];

			if (!virtio_find(&target->virtio, types[i], n))
				break;
			for (unsigned bar = 0; bar < 6; bar++)
				target->bars[bar] = pci_read(target->virtio.slot, PCI_BAR(bar));
			target_count++;
		}
	}
}

/* Moves it back to its first addresses, so that the other attacks hit something. */
void target_restore(struct target *target)
{
	for (unsigned bar = 0; bar < 6; bar++)
		pci_write(target->virtio.slot, PCI_BAR(bar), target->bars[bar]);
	pci_write(target->virtio.slot, PCI_COMMAND, 7);
}

/* virtio's own window (4.1.4.9): an access to a BAR by config space. */
static void window(struct hostile *hostile, unsigned slot)
{
	unsigned at = 0, next;

	while ((next = pci_capability(slot, PCI_CAP_OWN, at)) != 0)
		at = next;
	if (!at)
		return;
	pci_write(slot, at + 4,
		  (uint32_t)random_below(hostile, random_one_in(hostile, 4) ? 256 : 2));
	pci_write(slot, at + 8,
		  random_one_in(hostile, 4) ? (uint32_t)hostile_value(hostile)
					    : (uint32_t)random_below(hostile, 0x4000));
	pci_write(slot, at + 12,
		  random_one_in(hostile, 4) ? (uint32_t)hostile_value(hostile)
					    : 1u << random_below(hostile, 3));
	if (random_one_in(hostile, 2))
		pci_write(slot, at + 16, (uint32_t)message_tame(hostile_value(hostile)));
	else
		(void)pci_read(slot, at + 16);
}

void attack_config(struct hostile *hostile)
{
	unsigned slot = (unsigned)random_below(hostile, target_count + 2);
	unsigned width = 1u << random_below(hostile, 4);
	unsigned offset = (unsigned)random_below(hostile, random_one_in(hostile, 8) ? 0x8000 : 256);
	uint64_t value = message_tame(hostile_value(hostile));

	switch (random_below(hostile, 8)) {
	case 0:
		window(hostile, slot);
		break;
	case 1: /* a BAR onto another's */
		pci_write(slot, PCI_BAR(random_below(hostile, 2)),
			  targets[random_below(hostile, target_count)]
					  .bars[random_below(hostile, 2)] +
				  (uint32_t)random_below(hostile, 3) * 16);
		break;
	case 2:
		out32(0xcf8, random_one_in(hostile, 4)
				     ? (uint32_t)value
				     : 0x80000000u | slot << 11 | (offset & 0xfc));
		if (random_one_in(hostile, 2))
			out16((uint16_t)(0xcfc + random_below(hostile, 4)), (uint16_t)value);
		else
			out32((uint16_t)(0xcfc + random_below(hostile, 4)), (uint32_t)value);
		(void)in32((uint16_t)(0xcf8 + random_below(hostile, 8)));
		break;
	case 3:
		if (target_count)
			target_restore(&targets[random_below(hostile, target_count)]);
		break;
	default:
		hostile_access(hostile, pci_ecam(slot, offset), width, value);
	}
}
