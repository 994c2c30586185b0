// SPDX-License-Identifier: BSD-2-Clause
/*
 * Under the lock, a registered doorbell is in KVM if and only if nobody catches doorbells, unless
 * KVM refused it. Each function keeps that. The lock is held during KVM_IOEVENTFD, which waits
 * until no vCPU uses the old list of KVM's bus. A vCPU's thread that waits for the lock is outside
 * of KVM, so the two never wait for each other.
 */
#include "machine/doorbell.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "machine/vm.h"

void doorbells_init(struct doorbells *doorbells)
{
	pthread_mutex_init(&doorbells->lock, NULL);
	doorbells->list = NULL;
	doorbells->catchers = 0;
}

void doorbells_destroy(struct doorbells *doorbells)
{
	pthread_mutex_destroy(&doorbells->lock);
}

static int kvm_set(struct vm *vm, const struct doorbell *doorbell, uint32_t flags)
{
	struct kvm_ioeventfd request = {
		.addr = doorbell->port,
		.len = DOORBELL_SIZE,
		.fd = doorbell->fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | flags,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &request) < 0 ? -errno : 0;
}

/* The lock is held. */
static int kvm_give(struct vm *vm, struct doorbell *doorbell)
{
	int status = kvm_set(vm, doorbell, 0);

	doorbell->in_kvm = status == 0;
	return status;
}

/* The lock is held. */
static void kvm_take(struct vm *vm, struct doorbell *doorbell)
{
	if (doorbell->in_kvm)
		kvm_set(vm, doorbell, KVM_IOEVENTFD_FLAG_DEASSIGN);
	doorbell->in_kvm = false;
}

int doorbell_add(struct vm *vm, struct doorbell *doorbell)
{
	struct doorbells *doorbells = &vm->doorbells;
	int status = 0;

	pthread_mutex_lock(&doorbells->lock);
	doorbell->in_kvm = false;
	doorbell->next = doorbells->list;
	doorbells->list = doorbell;
	if (!doorbells->catchers)
		status = kvm_give(vm, doorbell);
	pthread_mutex_unlock(&doorbells->lock);
	return status;
}

void doorbell_remove(struct vm *vm, struct doorbell *doorbell)
{
	struct doorbells *doorbells = &vm->doorbells;
	struct doorbell **link = &doorbells->list;

	pthread_mutex_lock(&doorbells->lock);
	while (*link && *link != doorbell)
		link = &(*link)->next;
	if (*link) {
		*link = doorbell->next;
		kvm_take(vm, doorbell);
	}
	pthread_mutex_unlock(&doorbells->lock);
}

void doorbells_catch(struct vm *vm)
{
	struct doorbells *doorbells = &vm->doorbells;

	pthread_mutex_lock(&doorbells->lock);
	if (doorbells->catchers++ == 0)
		for (struct doorbell *it = doorbells->list; it; it = it->next)
			kvm_take(vm, it);
	pthread_mutex_unlock(&doorbells->lock);
}

int doorbells_release(struct vm *vm)
{
	struct doorbells *doorbells = &vm->doorbells;
	int status = 0;

	pthread_mutex_lock(&doorbells->lock);
	if (--doorbells->catchers == 0)
		for (struct doorbell *it = doorbells->list; it; it = it->next) {
			int one = kvm_give(vm, it);

			status = status < 0 ? status : one;
		}
	pthread_mutex_unlock(&doorbells->lock);
	return status;
}

bool doorbell_find(struct vm *vm, uint64_t port, struct doorbell_place *place)
{
	struct doorbells *doorbells = &vm->doorbells;
	const struct doorbell *it;

	pthread_mutex_lock(&doorbells->lock);
	for (it = doorbells->list; it; it = it->next)
		if (it->port == port)
			break;
	if (it) {
		snprintf(place->device, sizeof(place->device), "%s", it->device);
		place->queue = it->queue;
	}
	pthread_mutex_unlock(&doorbells->lock);
	return it;
}

bool doorbells_are_caught(struct vm *vm)
{
	bool caught;

	pthread_mutex_lock(&vm->doorbells.lock);
	caught = vm->doorbells.catchers;
	pthread_mutex_unlock(&vm->doorbells.lock);
	return caught;
}
