// SPDX-License-Identifier: BSD-2-Clause
/*
 * MSI-X (PCI Local Bus 3.0, 6.8.2). Each vector is an eventfd. While the vector may fire, its
 * eventfd is tied to a GSI route in KVM. While it is masked, the eventfd is tied to nothing and
 * collects interrupts, so its count is the pending bit.
 */
#include "devices/pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/irq.h"
#include "machine/vm.h"

struct msix_vector {
	uint32_t registers[4]; /* address low, high, data, control */
	int gsi;	       /* -1: not needed yet */
	int event_fd;
	bool tied; /* the eventfd is an irqfd now */
};

struct msix {
	struct pci_function *function;
	unsigned capability;
	uint32_t offset, pba_offset;
	unsigned count;
	pthread_mutex_t lock;
	_Atomic bool enabled;
	bool masked; /* the whole function */
	struct msix_vector vectors[];
};

enum { REGISTER_LOW, REGISTER_HIGH, REGISTER_DATA, REGISTER_CONTROL };

static bool vector_pending(const struct msix_vector *vector)
{
	struct pollfd poll_fd = {.fd = vector->event_fd, .events = POLLIN};

	return !vector->tied && poll(&poll_fd, 1, 0) == 1;
}

/* Clears the pending count. Returns whether there was one. */
static bool vector_drain(const struct msix_vector *vector)
{
	uint64_t count;

	return read(vector->event_fd, &count, sizeof(count)) == sizeof(count);
}

static void vector_signal(const struct msix_vector *vector)
{
	uint64_t one = 1;

	/*
	 * The write fails only if the counter is full, and then the eventfd is signalled already.
	 */
	if (write(vector->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void vector_untie(struct msix *msix, struct msix_vector *vector)
{
	if (!vector->tied)
		return;
	irq_fd_deassign(&msix->function->vm->irq, vector->event_fd, vector->gsi);
	vector->tied = false;
}

/* Routes the vector and ties its eventfd to the route. */
static void vector_tie(struct msix *msix, struct msix_vector *vector)
{
	struct irq_router *irq = &msix->function->vm->irq;
	uint64_t address = (uint64_t)vector->registers[REGISTER_HIGH] << 32 |
			   vector->registers[REGISTER_LOW];
	bool pending;
	int status;

	if (vector->gsi < 0)
		vector->gsi = irq_msi_alloc(irq);
	status = vector->gsi < 0 ? vector->gsi
				 : irq_msi_route(irq, vector->gsi, true, address,
						 vector->registers[REGISTER_DATA]);
	if (status == 0 && !vector->tied) {
		pending = vector_drain(vector);
		status = irq_fd_assign(irq, vector->event_fd, vector->gsi);
		vector->tied = status == 0;
		if (pending)
			vector_signal(vector);
	}
	if (status < 0)
		log_limited(&msix->function->vm->log, LOG_LEVEL_WARN,
			    "pci slot %u: MSI-X vector %u to 0x%llx: %s", msix->function->slot,
			    (unsigned)(vector - msix->vectors), (unsigned long long)address,
			    strerror(-status));
}

/* Makes KVM agree with the registers of @vector. The lock is held. */
static void vector_follow(struct msix *msix, struct msix_vector *vector)
{
	if (atomic_load(&msix->enabled) && !msix->masked &&
	    !(vector->registers[REGISTER_CONTROL] & PCI_MSIX_ENTRY_CTRL_MASKBIT))
		vector_tie(msix, vector);
	else
		vector_untie(msix, vector);
}

static void msix_follow(struct msix *msix)
{
	uint16_t flags;
	bool enabled;

	memcpy(&flags, msix->function->config + msix->capability + PCI_MSIX_FLAGS, sizeof(flags));
	enabled = flags & PCI_MSIX_FLAGS_ENABLE;
	pthread_mutex_lock(&msix->lock);
	atomic_store(&msix->enabled, enabled);
	msix->masked = flags & PCI_MSIX_FLAGS_MASKALL;
	for (unsigned i = 0; i < msix->count; i++) {
		vector_follow(msix, &msix->vectors[i]);
		if (!enabled)
			vector_drain(&msix->vectors[i]);
	}
	pthread_mutex_unlock(&msix->lock);
}

static void vector_power_on(struct msix_vector *vector)
{
	memset(vector->registers, 0, sizeof(vector->registers));
	vector->registers[REGISTER_CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

int msix_create(struct pci_function *function, unsigned vectors, unsigned bar, uint32_t offset,
		uint32_t pba_offset, struct msix **out, struct error *err)
{
	uint8_t capability[PCI_CAP_MSIX_SIZEOF] = {0};
	uint16_t flags = (uint16_t)(vectors - 1);
	uint32_t table = offset | bar, pba = pba_offset | bar;
	struct msix *msix;
	int at;

	if (vectors == 0 || vectors > MSIX_VECTORS_MAX || offset % 8 || pba_offset % 8)
		return error_set(err, -EINVAL, "MSI-X: %u vectors", vectors);
	msix = calloc(1, sizeof(*msix) + vectors * sizeof(msix->vectors[0]));
	if (!msix)
		return error_set(err, -ENOMEM, "MSI-X: out of memory");
	pthread_mutex_init(&msix->lock, NULL);
	msix->function = function;
	msix->offset = offset;
	msix->pba_offset = pba_offset;
	for (; msix->count < vectors; msix->count++) {
		struct msix_vector *vector = &msix->vectors[msix->count];

		vector->gsi = -1;
		vector->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->event_fd < 0) {
			int status = error_set_errno(err, -errno, "MSI-X: eventfd");

			msix_destroy(msix);
			return status;
		}
		vector_power_on(vector);
	}
	memcpy(capability + PCI_MSIX_FLAGS, &flags, sizeof(flags));
	memcpy(capability + PCI_MSIX_TABLE, &table, sizeof(table));
	memcpy(capability + PCI_MSIX_PBA, &pba, sizeof(pba));
	at = pci_capability_add(function, PCI_CAP_ID_MSIX, capability, sizeof(capability));
	if (at < 0) {
		msix_destroy(msix);
		return error_set(err, at, "MSI-X: config space is full");
	}
	msix->capability = (unsigned)at;
	function->writable[at + PCI_MSIX_FLAGS + 1] = (PCI_MSIX_FLAGS_ENABLE |
						       PCI_MSIX_FLAGS_MASKALL) >>
						      8;
	*out = msix;
	return 0;
}

void msix_destroy(struct msix *msix)
{
	if (!msix)
		return;
	for (unsigned i = 0; i < msix->count; i++) {
		struct msix_vector *vector = &msix->vectors[i];

		vector_untie(msix, vector);
		if (vector->gsi >= 0)
			irq_msi_free(&msix->function->vm->irq, vector->gsi);
		close(vector->event_fd);
	}
	pthread_mutex_destroy(&msix->lock);
	free(msix);
}

void msix_reset(struct msix *msix)
{
	pthread_mutex_lock(&msix->lock);
	atomic_store(&msix->enabled, false);
	msix->masked = false;
	for (unsigned i = 0; i < msix->count; i++) {
		vector_untie(msix, &msix->vectors[i]);
		vector_drain(&msix->vectors[i]);
		vector_power_on(&msix->vectors[i]);
	}
	pthread_mutex_unlock(&msix->lock);
}

static void table_access(struct msix *msix, unsigned at, void *data, unsigned length, bool is_write)
{
	struct msix_vector *vector = &msix->vectors[at / PCI_MSIX_ENTRY_SIZE];
	uint8_t *registers = (uint8_t *)vector->registers + at % PCI_MSIX_ENTRY_SIZE;

	if (!is_write) {
		memcpy(data, registers, length);
		return;
	}
	memcpy(registers, data, length);
	vector->registers[REGISTER_CONTROL] &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	vector_follow(msix, vector);
}

static void pba_read(struct msix *msix, unsigned at, void *data, unsigned length)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < msix->count; i++)
		if (vector_pending(&msix->vectors[i]))
			bits |= 1ull << i;
	memcpy(data, (uint8_t *)&bits + at, length);
}

bool msix_access(struct msix *msix, uint64_t offset, void *data, unsigned length, bool is_write)
{
	uint64_t table_end = msix->offset + msix->count * PCI_MSIX_ENTRY_SIZE;
	bool table = offset >= msix->offset && offset < table_end;
	bool pba = offset >= msix->pba_offset && offset < msix->pba_offset + sizeof(uint64_t);

	if (!table && !pba)
		return false;
	/* Only aligned accesses of 4 or 8 bytes are defined (6.8.2). */
	if ((length != 4 && length != 8) || offset % length)
		return true;
	pthread_mutex_lock(&msix->lock);
	if (table)
		table_access(msix, (unsigned)(offset - msix->offset), data, length, is_write);
	else if (!is_write)
		pba_read(msix, (unsigned)(offset - msix->pba_offset), data, length);
	pthread_mutex_unlock(&msix->lock);
	return true;
}

void msix_config_written(struct msix *msix, unsigned offset, unsigned length)
{
	unsigned flags = msix->capability + PCI_MSIX_FLAGS;

	if (offset < flags + 2 && flags < offset + length)
		msix_follow(msix);
}

void msix_notify(struct msix *msix, unsigned vector)
{
	if (vector < msix->count && atomic_load_explicit(&msix->enabled, memory_order_relaxed))
		vector_signal(&msix->vectors[vector]);
}

int msix_eventfd(struct msix *msix, unsigned vector)
{
	return vector < msix->count ? msix->vectors[vector].event_fd : -1;
}

int msix_save(struct msix *msix, struct serialize_writer *writer)
{
	pthread_mutex_lock(&msix->lock);
	serialize_put_u32(writer, msix->count);
	for (unsigned i = 0; i < msix->count; i++) {
		struct msix_vector *vector = &msix->vectors[i];

		for (unsigned j = 0; j < 4; j++)
			serialize_put_u32(writer, vector->registers[j]);
		serialize_put_u8(writer, vector_pending(vector));
	}
	pthread_mutex_unlock(&msix->lock);
	return writer->status;
}

int msix_load(struct msix *msix, struct serialize_reader *reader)
{
	bool pending[MSIX_VECTORS_MAX] = {false};
	uint32_t registers[MSIX_VECTORS_MAX][4];

	if (serialize_get_u32(reader) != msix->count)
		return -EINVAL;
	for (unsigned i = 0; i < msix->count; i++) {
		uint8_t flag;

		for (unsigned j = 0; j < 4; j++)
			registers[i][j] = serialize_get_u32(reader);
		flag = serialize_get_u8(reader);
		if (flag > 1 || (registers[i][REGISTER_CONTROL] & ~PCI_MSIX_ENTRY_CTRL_MASKBIT))
			return -EINVAL;
		pending[i] = flag;
	}
	if (reader->status < 0)
		return reader->status;
	msix_reset(msix);
	for (unsigned i = 0; i < msix->count; i++) {
		memcpy(msix->vectors[i].registers, registers[i], sizeof(registers[i]));
		if (pending[i])
			vector_signal(&msix->vectors[i]);
	}
	msix_follow(msix);
	return 0;
}
