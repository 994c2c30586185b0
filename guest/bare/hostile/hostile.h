/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hostile guest writes everything that a guest can write, at random. It spares only itself (its
 * code, the interrupts that would restart its CPU) and the ports that end the VM. So if a run ends
 * early, the VMM is at fault.
 */
#ifndef GUEST_BARE_HOSTILE_H
#define GUEST_BARE_HOSTILE_H

#include "virtio.h"

/* Devices write only from here on. The guest's own code is below. */
#define ARENA_START 0x1000000ull
#define TARGETS_MAX 16

struct hostile {
	uint64_t random_state;
	uint64_t steps;
	bool first; /* the boot CPU: only it prints, and may fault */
};

struct target {
	struct virtio virtio;
	uint32_t bars[6];
};

extern struct target targets[TARGETS_MAX];
extern unsigned target_count;

/* arena.c: numbers, addresses and lengths that hurt. */
uint64_t random_next(struct hostile *hostile);
uint64_t random_below(struct hostile *hostile, uint64_t limit);
bool random_one_in(struct hostile *hostile, unsigned n);
void arena_find(void);
uint64_t arena_end(void);
uint64_t hostile_value(struct hostile *hostile);   /* any register */
uint64_t hostile_address(struct hostile *hostile); /* mostly RAM, from ARENA_START on */
uint32_t hostile_length(struct hostile *hostile, uint64_t address);
uint64_t arena_address(struct hostile *hostile, uint64_t length, uint64_t alignment);
/* One access of @width to MMIO, reading or writing. */
void hostile_access(struct hostile *hostile, uint64_t address, unsigned width, uint64_t value);

/* targets of config.c */
void targets_find(void);
void target_restore(struct target *target);

/* Attacks: one step of each kind. */
void attack_config(struct hostile *hostile);
void attack_registers(struct hostile *hostile);
void attack_queues(struct hostile *hostile);
void attack_ports(struct hostile *hostile);
void attack_hole(struct hostile *hostile);
void attack_symbiotic(struct hostile *hostile);

/* requests.c: fills memory with a request that a device of @type may accept. */
void request_fill(struct hostile *hostile, unsigned type, uint64_t address, uint64_t length);

/* A message's data with a delivery mode that leaves our CPU running: fixed, lowest or NMI. */
uint64_t message_tame(uint64_t value);

#endif
