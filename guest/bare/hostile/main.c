// SPDX-License-Identifier: BSD-2-Clause
/* Random attacks for a given time. Then the guest behaves, and waits for the power button. */
#include "hostile.h"

#define REPORT_MS 5000

static volatile bool over;
static volatile uint64_t other_steps;
static uint64_t seed;

static void step(struct hostile *hostile)
{
	/* Queues more often, since most code is behind them. */
	static void (*const attacks[])(struct hostile *) = {
		attack_queues,	  attack_queues, attack_queues, attack_queues, attack_registers,
		attack_registers, attack_config, attack_ports,	attack_hole,   attack_symbiotic};

	attacks[random_below(hostile, sizeof(attacks) / sizeof(attacks[0]))](hostile);
	hostile->steps++;
	/* Otherwise all BARs are soon out of reach. */
	if (random_one_in(hostile, 8) && target_count)
		target_restore(&targets[random_below(hostile, target_count)]);
}

static void hostile_init(struct hostile *hostile, unsigned cpu)
{
	hostile->random_state = (seed + 1 + cpu) * 0x9e3779b97f4a7c15ull;
	hostile->steps = 0;
	hostile->first = cpu == 0;
}

static void on_other_cpu(unsigned id)
{
	struct hostile hostile;

	hostile_init(&hostile, id);
	while (!over) {
		step(&hostile);
		__atomic_fetch_add(&other_steps, 1, __ATOMIC_RELAXED);
	}
}

/* The serial port may be in any state. */
static void console_restore(void)
{
	out8(PORT_COM1 + 1, 0);
	out8(PORT_COM1 + 3, 0x03);
	out8(PORT_COM1 + 4, 0x03);
	out8(PORT_COM1 + 2, 0x07);
}

static void behave(void)
{
	struct hostile hostile;
	unsigned good = 0;

	hostile_init(&hostile, 0);
	console_restore();
	for (unsigned i = 0; i < target_count; i++) {
		struct target *target = &targets[i];

		target_restore(target);
		write16(pci_ecam(target->virtio.slot, target->virtio.msix + 2), 0);
		good += virtio_start(&target->virtio, 0);
	}
	check(good == target_count, "%u of %u devices start again", good, target_count);
}

static void hostile(void)
{
	uint64_t seconds = option_number("seconds", 60), start, next;
	unsigned cpus = (unsigned)option_number("cpus", 1);
	struct hostile hostile;

	seed = option_number("seed", 1);
	arena_find();
	targets_find();
	hostile_init(&hostile, 0);
	print("# hostile: seed %lu, %lu s, %u CPUs, %u virtio devices, RAM to 0x%lx, %lu kHz\n",
	      seed, seconds, cpus, target_count, arena_end(), tsc_per_ms());
	apic_enable();
	start = tsc();
	next = start + REPORT_MS * tsc_per_ms();
	cpus_wake(cpus, on_other_cpu);
	while (tsc() - start < seconds * 1000 * tsc_per_ms()) {
		for (unsigned i = 0; i < 32; i++)
			step(&hostile);
		if (tsc() > next) {
			next += REPORT_MS * tsc_per_ms();
			console_restore();
			print("\n# %lu + %lu steps\n", hostile.steps, other_steps);
		}
	}
	over = true;
	delay_us(500000);
	console_restore();
	print("\n# %lu + %lu steps\n", hostile.steps, other_steps);
	check(hostile.steps > 100, "it was hostile");
	behave();
	print("# hostile: done\n");
	while (!(in8(PORT_POWER + 3) & 1))
		delay_us(10000);
	check(true, "the power button was pressed");
}
TEST("hostile", hostile);
