/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of the test machine, which make calls while they are accessed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices.h"

#define READ_BIT (1u << 31)

static void trace(struct machine *m, uint32_t kind, uint64_t where, const void *data, size_t len)
{
	struct trace_entry *entry;

	if (m->trace_len == TRACE_MAX)
		return;
	entry = &m->trace[m->trace_len++];
	memset(entry, 0, sizeof(*entry));
	entry->kind = kind;
	entry->len = (uint32_t)len;
	entry->where = where;
	/* Folds longer data (REP OUTS). */
	for (size_t i = 0; i < len; i++)
		entry->data = entry->data * 31 + ((const uint8_t *)data)[i];
}

static uint64_t next_value(struct machine *m)
{
	return 0xf1e2d3c4b5a69788ull * ++m->values + 0x1357;
}

static void call(struct machine *m)
{
	uint64_t sum;

	machine_ping(m, 40 + m->call_count, 2, &sum);
}

/* The value of a read. With CALLS_BEFORE_ANSWER the guest's handler gives it. */
static uint64_t read_value(struct machine *m)
{
	uint64_t value = next_value(m), sum = 0;

	if (m->mode != CALLS_BEFORE_ANSWER && m->mode != CALLS_TWICE)
		return value;
	if (machine_ping(m, value - 99, 99, &sum))
		return 0;
	if (m->mode == CALLS_TWICE)
		machine_ping(m, value - 98, 98, &sum);
	return sum;
}

static void read_test(struct machine *m, uint32_t kind, uint64_t where, size_t len, bool nested)
{
	uint8_t data[4096];

	for (size_t i = 0; i < len; i += 8) {
		uint64_t value = nested ? next_value(m) : read_value(m);

		memcpy(data + i, &value, len - i < 8 ? len - i : 8);
	}
	trace(m, kind | READ_BIT, where, data, len);
	m->last_error = sym_vcpu_answer(m->vcpu, data, len);
	if (m->last_error)
		m->call_errors++;
	if (!nested && (m->mode == CALLS_AFTER_ANSWER || m->mode == CALLS_TWICE))
		call(m);
}

static void write_test(struct machine *m, uint32_t kind, uint64_t where, const void *data,
		       size_t len, bool nested)
{
	bool calls = !nested && m->mode != CALLS_NONE && m->mode != CALLS_AT_KICKS;

	if (calls)
		call(m);
	trace(m, kind, where, data, len);
	if (calls && m->mode == CALLS_TWICE)
		call(m);
}

static void read_other(struct machine *m, size_t len)
{
	uint64_t value = 3;

	sym_vcpu_answer(m->vcpu, &value, len);
}

static void try_nested_call(struct machine *m)
{
	struct sym_call_request request = {.number = SYM_CALL_PING};
	struct sym_call_result result;
	int32_t answer;

	m->nested_result = sym_call(m->vcpu, &request, &result);
	answer = m->nested_result;
	sym_vcpu_answer(m->vcpu, &answer, sizeof(answer));
}

static int service_io(struct machine *m, bool nested)
{
	struct kvm_run *run = m->run;
	size_t len = (size_t)run->io.size * run->io.count;
	bool in = run->io.direction == KVM_EXIT_IO_IN;
	uint16_t port = run->io.port;

	switch (port) {
	case PORT_END:
		if (m->ram[COUNTERS + 8 * 255])
			fprintf(stderr, "# unexpected exception in the guest\n");
		return 1;
	case PORT_TEST:
	case 0x6c:
		if (m->at_exit && !nested)
			m->at_exit(m);
		if (in)
			read_test(m, KVM_EXIT_IO, port, len, nested);
		else
			write_test(m, KVM_EXIT_IO, port, (uint8_t *)run + run->io.data_offset, len,
				   nested);
		return 0;
	case PORT_OTHER:
		if (m->stop_at_other)
			return -ECANCELED;
		if (in)
			read_other(m, len);
		return 0;
	case PORT_NEST:
		try_nested_call(m);
		return 0;
	}
	fprintf(stderr, "# access to port %#x\n", port);
	return -ENODEV;
}

static int service_mmio(struct machine *m, bool nested)
{
	struct kvm_run *run = m->run;
	uint64_t gpa = run->mmio.phys_addr;

	if (gpa - MMIO_OTHER < 4096) {
		if (!run->mmio.is_write)
			read_other(m, run->mmio.len);
		return 0;
	}
	if (gpa - MMIO_TEST >= 4096) {
		fprintf(stderr, "# access to %#llx\n", (unsigned long long)gpa);
		return -ENODEV;
	}
	if (run->mmio.is_write)
		write_test(m, KVM_EXIT_MMIO, gpa, run->mmio.data, run->mmio.len, nested);
	else
		read_test(m, KVM_EXIT_MMIO, gpa, run->mmio.len, nested);
	return 0;
}

static int service_msr(struct machine *m, bool nested)
{
	struct kvm_run *run = m->run;

	if (run->msr.index == MSR_OTHER) {
		if (run->exit_reason == KVM_EXIT_X86_RDMSR)
			read_other(m, sizeof(run->msr.data));
		return 0;
	}
	if (run->msr.index != MSR_TEST)
		return sym_vcpu_answer_fault(m->vcpu);
	if (m->fault_msr) {
		if (m->mode != CALLS_NONE)
			call(m);
		m->last_error = sym_vcpu_answer_fault(m->vcpu);
		return m->last_error;
	}
	if (run->exit_reason == KVM_EXIT_X86_RDMSR)
		read_test(m, KVM_EXIT_X86_RDMSR, MSR_TEST, sizeof(run->msr.data), nested);
	else
		write_test(m, KVM_EXIT_X86_WRMSR, MSR_TEST, &run->msr.data, sizeof(run->msr.data),
			   nested);
	return 0;
}

static int service(struct machine *m, bool nested)
{
	switch (m->run->exit_reason) {
	case KVM_EXIT_IO:
		return service_io(m, nested);
	case KVM_EXIT_MMIO:
		return service_mmio(m, nested);
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		return service_msr(m, nested);
	case KVM_EXIT_DEBUG:
		m->debug_exits++;
		if (!nested && m->mode != CALLS_NONE)
			call(m);
		return 0;
	}
	return -ENODEV;
}

int devices_service(struct machine *m)
{
	return service(m, false);
}

int devices_service_nested(void *vcpu, struct kvm_run *run)
{
	return service(vcpu, true);
}
