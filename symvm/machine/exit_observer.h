/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Observers see exits before the devices do. An observer is registered with a match, so that an
 * exit that nobody watches costs one load.
 *
 *	static void seen(void *opaque, struct vcpu *vcpu, struct kvm_run *run) { ... }
 *
 *	struct exit_observer observer = {
 *		.match = {.reason = KVM_EXIT_IO, .first = 0x3f8, .last = 0x3ff},
 *		.seen = seen,
 *		.opaque = mine,
 *	};
 *	status = exit_observer_add(&vm->exit_observers, &observer);
 *	...
 *	exit_observer_remove(&vm->exit_observers, &observer);
 */
#ifndef SYMVM_MACHINE_EXIT_OBSERVER_H
#define SYMVM_MACHINE_EXIT_OBSERVER_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

#define EXIT_OBSERVERS_MAX 16u
#define EXIT_REASONS	   64u /* KVM_EXIT_* are below */

struct exit_match {
	unsigned reason; /* KVM_EXIT_*, below EXIT_REASONS */
	/* Of KVM_EXIT_IO: ports, of KVM_EXIT_MMIO: addresses, both inclusive. Other reasons:
	 * unused. */
	uint64_t first;
	uint64_t last;
};

struct exit_observer {
	struct exit_match match;
	/*
	 * On the vCPU's thread, before the devices handle the exit; it may sym_call() there. Exits
	 * of that call's own handler are shown, too, from within: do not wait for a lock that this
	 * function may hold already. Must not add or remove observers.
	 */
	void (*seen)(void *opaque, struct vcpu *vcpu, struct kvm_run *run);
	void *opaque;
	unsigned users; /* private: calls of seen() that have not returned */
};

/* Embedded in struct vm. All zero: nobody observes. */
struct exit_observers {
	_Atomic uint64_t reasons; /* one bit for each reason that somebody observes */
	pthread_mutex_t lock;	  /* guards the rest, and users; not held during seen() */
	pthread_cond_t returned;
	unsigned count;
	struct exit_observer *list[EXIT_OBSERVERS_MAX];
};

/* Makes the list empty. Main thread, before the first vCPU. */
void exit_observers_init(struct exit_observers *observers);
/* Frees the list's resources. All observers were removed, and no vCPU runs. Main thread. */
void exit_observers_destroy(struct exit_observers *observers);

/*
 * From now on exits that match @observer's match are shown to it. The caller keeps @observer until
 * exit_observer_remove(). -EINVAL if there is no such reason, or @first is above @last; -ENOSPC if
 * there are EXIT_OBSERVERS_MAX already. Any thread.
 */
int exit_observer_add(struct exit_observers *observers, struct exit_observer *observer);
/*
 * Ends that. Waits until no vCPU is in @observer's seen() any more, which is as long as seen()
 * takes. Does nothing if @observer was not added. Any thread but vCPUs'.
 */
void exit_observer_remove(struct exit_observers *observers, struct exit_observer *observer);

/* Whether an observer may want to see an exit for @reason: one load. vCPU threads. */
static inline bool exit_is_observed(const struct exit_observers *observers, unsigned reason)
{
	uint64_t reasons = atomic_load_explicit(&observers->reasons, memory_order_relaxed);

	return reasons && reason < EXIT_REASONS && (reasons >> reason & 1);
}

/* Shows an exit to the observers that it matches. The vCPU's thread. */
void exit_observers_show(struct exit_observers *observers, struct vcpu *vcpu, struct kvm_run *run);

#endif
