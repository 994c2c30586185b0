// SPDX-License-Identifier: BSD-2-Clause
/*
 * A vCPU collects the observers that match and counts itself as a user of each, with the lock held.
 * It calls them without the lock, since seen() may run guest code for up to a second, and may come
 * back here from an exit of that code. So the lock is never held for long, and an observer can be
 * freed as soon as it has no users.
 */
#include "machine/exit_observer.h"

#include <errno.h>

void exit_observers_init(struct exit_observers *observers)
{
	pthread_mutex_init(&observers->lock, NULL);
	pthread_cond_init(&observers->returned, NULL);
}

void exit_observers_destroy(struct exit_observers *observers)
{
	pthread_cond_destroy(&observers->returned);
	pthread_mutex_destroy(&observers->lock);
}

/* The lock is held. */
static void reasons_update(struct exit_observers *observers)
{
	uint64_t reasons = 0;

	for (unsigned i = 0; i < observers->count; i++)
		reasons |= 1ull << observers->list[i]->match.reason;
	atomic_store(&observers->reasons, reasons);
}

int exit_observer_add(struct exit_observers *observers, struct exit_observer *observer)
{
	int status = 0;

	if (observer->match.reason >= EXIT_REASONS || observer->match.first > observer->match.last)
		return -EINVAL;
	pthread_mutex_lock(&observers->lock);
	if (observers->count < EXIT_OBSERVERS_MAX) {
		observer->users = 0;
		observers->list[observers->count++] = observer;
		reasons_update(observers);
	} else {
		status = -ENOSPC;
	}
	pthread_mutex_unlock(&observers->lock);
	return status;
}

void exit_observer_remove(struct exit_observers *observers, struct exit_observer *observer)
{
	unsigned at = 0;

	pthread_mutex_lock(&observers->lock);
	while (at < observers->count && observers->list[at] != observer)
		at++;
	if (at < observers->count) {
		observers->count--;
		for (; at < observers->count; at++)
			observers->list[at] = observers->list[at + 1];
		reasons_update(observers);
		while (observer->users)
			pthread_cond_wait(&observers->returned, &observers->lock);
	}
	pthread_mutex_unlock(&observers->lock);
}

static bool observer_matches(const struct exit_match *match, const struct kvm_run *run)
{
	uint64_t at;

	if (run->exit_reason != match->reason)
		return false;
	if (match->reason == KVM_EXIT_IO)
		at = run->io.port;
	else if (match->reason == KVM_EXIT_MMIO)
		at = run->mmio.phys_addr;
	else
		return true;
	return at >= match->first && at <= match->last;
}

void exit_observers_show(struct exit_observers *observers, struct vcpu *vcpu, struct kvm_run *run)
{
	struct exit_observer *wanting[EXIT_OBSERVERS_MAX];
	unsigned count = 0;

	pthread_mutex_lock(&observers->lock);
	for (unsigned i = 0; i < observers->count; i++) {
		if (!observer_matches(&observers->list[i]->match, run))
			continue;
		wanting[count++] = observers->list[i];
		observers->list[i]->users++;
	}
	pthread_mutex_unlock(&observers->lock);
	if (count == 0)
		return;
	for (unsigned i = 0; i < count; i++)
		wanting[i]->seen(wanting[i]->opaque, vcpu, run);
	pthread_mutex_lock(&observers->lock);
	for (unsigned i = 0; i < count; i++)
		wanting[i]->users--;
	pthread_cond_broadcast(&observers->returned);
	pthread_mutex_unlock(&observers->lock);
}
