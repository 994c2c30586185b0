/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets up the machine: KVM, memory, tables, registers. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices.h"
#include "machine.h"

_Static_assert(PORT_RETURN == SYM_PORT_BASE + SYM_PORT_RETURN, "layout.h");
_Static_assert(PORT_DOORBELL == SYM_PORT_BASE + SYM_PORT_DOORBELL, "layout.h");
_Static_assert(MSR_CONTROL == SYM_MSR_BASE + SYM_MSR_CONTROL, "layout.h");
_Static_assert(MSR_SPY_VCPU == SYM_MSR_BASE + SYM_MSR_SPY_VCPU, "layout.h");
_Static_assert(SPY_COOKIE == offsetof(struct sym_spy_vcpu, host.cookie), "layout.h");
_Static_assert(SPY_DOORBELL == offsetof(struct sym_spy_vcpu, doorbell), "layout.h");
_Static_assert(SPY_MESSAGE == offsetof(struct sym_spy_vcpu, message), "layout.h");

#define KICK_SIGNAL SIGUSR1
#define CPUID_MAX   256

/* The signal handler's only way to the vCPU of its thread. */
static _Thread_local struct kvm_run *kick_run;

static void on_kick(int signal)
{
	if (kick_run)
		__atomic_store_n(&kick_run->immediate_exit, 1, __ATOMIC_RELAXED);
}

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "cannot set up the test machine: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static void make_timer(timer_t *timer)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL};

	event._sigev_un._tid = (int)syscall(SYS_gettid);
	check(timer_create(CLOCK_MONOTONIC, &event, timer), "timer_create");
}

static void set_timer(timer_t timer, long first_usec, long every_usec)
{
	struct itimerspec spec = {
		.it_value = {first_usec / 1000000, first_usec % 1000000 * 1000},
		.it_interval = {every_usec / 1000000, every_usec % 1000000 * 1000},
	};

	timer_settime(timer, 0, &spec, NULL);
}

static void *op_translate(void *opaque, uint64_t gpa, uint64_t len)
{
	struct machine *m = opaque;

	return gpa < GUEST_RAM_SIZE && len <= GUEST_RAM_SIZE - gpa ? m->ram + gpa : NULL;
}

static void op_arm_deadline(void *vcpu, uint64_t usec)
{
	struct machine *m = vcpu;

	set_timer(m->deadline_timer, (long)usec, 0);
}

static void op_disarm_deadline(void *vcpu)
{
	struct machine *m = vcpu;

	set_timer(m->deadline_timer, 0, 0);
}

static void op_log(void *opaque, enum sym_log_level level, const char *message)
{
	if (getenv("SYMCALL_TEST_VERBOSE"))
		fprintf(stderr, "# libsymcall: %s\n", message);
}

static const struct sym_ops ops = {
	.translate = op_translate,
	.service_exit = devices_service_nested,
	.arm_deadline = op_arm_deadline,
	.disarm_deadline = op_disarm_deadline,
	.log = op_log,
};

/* For an embedder whose watchdog thread looks at sym_vcpu_overdue(). */
static const struct sym_ops ops_with_watchdog = {
	.translate = op_translate,
	.service_exit = devices_service_nested,
	.log = op_log,
};

static void create_symbiosis(struct machine *m, uint32_t features, bool watchdog)
{
	const struct sym_vm_config config = {
		.size = sizeof(config),
		.vm_fd = m->vm_fd,
		.ops = watchdog ? &ops_with_watchdog : &ops,
		.opaque = m,
		.name = "bare",
		.uuid = {1, 2, 3},
		.features = features,
		.deadline_us = 200000,
	};
	const char *missing;

	m->features = features;
	if (sym_check_host(m->vm_fd, &missing)) {
		fprintf(stderr, "this host's KVM lacks %s\n", missing);
		exit(1);
	}
	m->sym_vm = sym_vm_create(&config);
	if (!m->sym_vm)
		fail("sym_vm_create");
	errno = -sym_vm_enable_msrs(m->sym_vm, KVM_MSR_EXIT_REASON_UNKNOWN);
	if (errno)
		fail("sym_vm_enable_msrs");
}

static void set_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *cpuid = calloc(1,
					  sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid)
		fail("calloc");
	cpuid->nent = CPUID_MAX - 3;
	check(ioctl(m->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	errno = -sym_vm_cpuid_extend(m->sym_vm, cpuid, CPUID_MAX);
	if (errno)
		fail("sym_vm_cpuid_extend");
	check(ioctl(m->vcpu_fd, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}

static void enable_apic(struct machine *m)
{
	struct kvm_lapic_state apic;
	uint32_t spurious = 0x1ff;

	check(ioctl(m->vcpu_fd, KVM_GET_LAPIC, &apic), "KVM_GET_LAPIC");
	memcpy(apic.regs + 0xf0, &spurious, sizeof(spurious));
	check(ioctl(m->vcpu_fd, KVM_SET_LAPIC, &apic), "KVM_SET_LAPIC");
}

struct machine *machine_create(uint32_t features, bool watchdog)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct sigaction action = {.sa_handler = on_kick};
	struct kvm_userspace_memory_region region = {.memory_size = GUEST_RAM_SIZE};

	if (!m)
		fail("calloc");
	sigaction(KICK_SIGNAL, &action, NULL);
	check(m->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	check(m->vm_fd = ioctl(m->kvm_fd, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	ioctl(m->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* only VMX requires it */
	check(ioctl(m->vm_fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	m->ram = mmap(NULL, GUEST_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (m->ram == MAP_FAILED)
		fail("guest RAM");
	region.userspace_addr = (uintptr_t)m->ram;
	check(ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	create_symbiosis(m, features, watchdog);
	check(m->vcpu_fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	m->run_size = (size_t)ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu_fd, 0);
	if (m->run == MAP_FAILED)
		fail("kvm_run");
	kick_run = m->run;
	set_cpuid(m);
	enable_apic(m);
	m->vcpu = sym_vcpu_create(m->sym_vm, m->vcpu_fd, m->run, 0, m);
	if (!m->vcpu)
		fail("sym_vcpu_create");
	make_timer(&m->deadline_timer);
	make_timer(&m->kick_timer);
	machine_start(m, 0);
	return m;
}

void machine_destroy(struct machine *m)
{
	timer_delete(m->deadline_timer);
	timer_delete(m->kick_timer);
	sym_vcpu_destroy(m->vcpu);
	sym_vm_destroy(m->sym_vm);
	kick_run = NULL;
	munmap(m->run, m->run_size);
	munmap(m->ram, GUEST_RAM_SIZE);
	close(m->vcpu_fd);
	close(m->vm_fd);
	close(m->kvm_fd);
	free(m);
}

static void put64(struct machine *m, uint64_t gpa, uint64_t value)
{
	memcpy(m->ram + gpa, &value, sizeof(value));
}

/* Accessed and dirty are set already, so that no walk changes memory. */
#define TABLE(gpa) ((gpa) | 0x67)

static void make_page_tables(struct machine *m)
{
	put64(m, PML4, TABLE(PDPT_LOW));
	put64(m, PML4 + 511 * 8, TABLE(PDPT_HIGH));
	put64(m, PML4_USER, TABLE(PDPT_LOW));
	put64(m, PDPT_LOW, TABLE(PD_LOW));
	put64(m, PDPT_LOW + 8, TABLE(PD_USER));
	put64(m, PDPT_LOW + 24, TABLE(PD_DEVICES));
	put64(m, PDPT_HIGH + 510 * 8, TABLE(PD_LOW));
	put64(m, PD_LOW, 0xe3);
	put64(m, PD_USER, 0xe7);
	for (uint64_t i = 0; i < 512; i++)
		put64(m, PD_DEVICES + i * 8, (3ull << 30 | i << 21) | 0xfb);
}

static void make_gate(struct machine *m, unsigned int vector, uint64_t handler, unsigned int dpl)
{
	put64(m, IDT + vector * 16ull,
	      (handler & 0xffff) | (uint64_t)SEL_KCODE << 16 | (0x8e00ull | dpl << 13) << 32 |
		      (handler >> 16 & 0xffff) << 48);
	put64(m, IDT + vector * 16ull + 8, handler >> 32);
}

void machine_set_gate(struct machine *m, unsigned int vector, uint64_t handler)
{
	make_gate(m, vector, handler, 0);
}

static void make_tables(struct machine *m)
{
	put64(m, GDT + SEL_KCODE, 0x00af9b000000ffff);
	put64(m, GDT + SEL_KDATA, 0x00cf93000000ffff);
	put64(m, GDT + (SEL_UDATA & ~7), 0x00cff3000000ffff);
	put64(m, GDT + (SEL_UCODE & ~7), 0x00affb000000ffff);
	put64(m, GDT + SEL_TSS, 0x00008b0000000067 | (uint64_t)TSS << 16);
	put64(m, TSS + 4, INTR_STACK);
	for (unsigned int vector = 0; vector < 256; vector++)
		make_gate(m, vector, GUEST_LABEL(i_other), 0);
	make_gate(m, 1, GUEST_LABEL(i_db), 0);
	make_gate(m, 2, GUEST_LABEL(i_nmi), 0);
	make_gate(m, 6, GUEST_LABEL(i_ud), 0);
	make_gate(m, 13, GUEST_LABEL(i_gp), 0);
	make_gate(m, VECTOR_IRQ, GUEST_LABEL(i_irq), 0);
	make_gate(m, VECTOR_GATE, GUEST_LABEL(i_gate), 3);
}

static void set_sregs(struct machine *m)
{
	struct kvm_segment code = {.limit = 0xffffffff,
				   .selector = SEL_KCODE,
				   .type = 11,
				   .present = 1,
				   .s = 1,
				   .l = 1,
				   .g = 1};
	struct kvm_segment data = {.limit = 0xffffffff,
				   .selector = SEL_KDATA,
				   .type = 3,
				   .present = 1,
				   .s = 1,
				   .db = 1,
				   .g = 1};
	struct kvm_sregs sregs;

	check(ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = (struct kvm_segment){
		.base = TSS, .limit = 0x67, .selector = SEL_TSS, .type = 11, .present = 1};
	sregs.gdt.base = GDT;
	sregs.gdt.limit = SEL_TSS + 15;
	sregs.idt.base = IDT;
	sregs.idt.limit = 4095;
	sregs.cr0 = 0x80050033;
	sregs.cr3 = PML4;
	sregs.cr4 = 0x620;
	sregs.efer = 0x500;
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	check(ioctl(m->vcpu_fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

/* Completes the exit that the last run left pending, and forgets its events. */
static void quiesce(struct machine *m)
{
	struct kvm_vcpu_events events = {.flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
						  KVM_VCPUEVENT_VALID_SHADOW};
	struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_guest_debug debug = {0};

	machine_kick_every(m, 0);
	m->run->kvm_dirty_regs = 0;
	for (int i = 0; i < 64; i++) {
		m->run->immediate_exit = 1;
		if (ioctl(m->vcpu_fd, KVM_RUN, 0) < 0)
			break;
	}
	m->run->immediate_exit = 0;
	sym_vcpu_handle_exit(m->vcpu, -EINTR);
	sym_vcpu_set_guest_debug(m->vcpu, &debug);
	check(ioctl(m->vcpu_fd, KVM_SET_VCPU_EVENTS, &events), "KVM_SET_VCPU_EVENTS");
	check(ioctl(m->vcpu_fd, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE");
}

void machine_set_regs(struct machine *m, struct kvm_regs regs)
{
	check(ioctl(m->vcpu_fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

void machine_start(struct machine *m, uint64_t rip)
{
	struct kvm_regs regs = {
		.rip = rip,
		.rsp = KERNEL_STACK,
		.rflags = 2,
		.rax = 0x1111111122334455,
		.rbx = 0x0123456789abcdef,
		.rcx = 3,
		.rdx = 4,
		.rsi = 5,
		.rdi = 6,
		.rbp = 7,
		.r8 = 8,
		.r9 = 9,
		.r10 = 10,
		.r11 = 11,
		.r12 = 12,
		.r13 = 13,
		.r14 = 14,
		.r15 = 15,
	};

	quiesce(m);
	memset(m->ram, 0, EXCLUDED);
	make_page_tables(m);
	make_tables(m);
	memcpy(m->ram + CODE, guest_code_start, (size_t)(guest_code_end - guest_code_start));
	for (unsigned int i = 0; i < 0x1000; i++)
		m->ram[BUFFER + i] = (uint8_t)(i * 7 + 1);
	set_sregs(m);
	machine_set_regs(m, regs);
	m->values = m->call_count = m->call_errors = m->call_again = m->kicks = m->debug_exits = 0;
	m->trace_len = 0;
	m->last_error = 0;
}

/* The same code in user mode, with I/O rights, on page tables without the kernel's half. */
void machine_enter_user(struct machine *m)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	check(ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	check(ioctl(m->vcpu_fd, KVM_GET_REGS, &regs), "KVM_GET_REGS");
	sregs.cs.selector = SEL_UCODE;
	sregs.ss.selector = SEL_UDATA;
	sregs.cs.dpl = sregs.ss.dpl = 3;
	sregs.ds = sregs.es = sregs.ss;
	sregs.gs.base = 0x1234000;
	sregs.fs.base = 0x5678000;
	sregs.cr3 = PML4_USER;
	check(ioctl(m->vcpu_fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	regs.rip += USER_BASE;
	regs.rsp = USER_STACK;
	regs.rflags = 0x3202;
	machine_set_regs(m, regs);
}

void machine_kick_every(struct machine *m, long usec)
{
	set_timer(m->kick_timer, usec, usec);
}

void machine_kick_once(struct machine *m, long usec)
{
	set_timer(m->kick_timer, usec, 0);
}

void machine_get_state(struct machine *m, struct machine_state *state)
{
	memset(state, 0, sizeof(*state));
	m->run->immediate_exit = 1;
	ioctl(m->vcpu_fd, KVM_RUN, 0);
	m->run->immediate_exit = 0;
	check(ioctl(m->vcpu_fd, KVM_GET_REGS, &state->regs), "KVM_GET_REGS");
	check(ioctl(m->vcpu_fd, KVM_GET_SREGS, &state->sregs), "KVM_GET_SREGS");
	check(ioctl(m->vcpu_fd, KVM_GET_VCPU_EVENTS, &state->events), "KVM_GET_VCPU_EVENTS");
	/* A number without an event is a leftover. KVM's differs if the host has APICv, with which
	 * the CPU delivers interrupts itself. */
	if (!state->events.interrupt.injected)
		state->events.interrupt.nr = 0;
	check(ioctl(m->vcpu_fd, KVM_GET_DEBUGREGS, &state->debugregs), "KVM_GET_DEBUGREGS");
	check(ioctl(m->vcpu_fd, KVM_GET_FPU, &state->fpu), "KVM_GET_FPU");
	check(ioctl(m->vcpu_fd, KVM_GET_MP_STATE, &state->mp_state), "KVM_GET_MP_STATE");
	memcpy(state->ram, m->ram, EXCLUDED);
	state->trace_len = m->trace_len;
	memcpy(state->trace, m->trace, m->trace_len * sizeof(m->trace[0]));
}

#define SAME(field)                                                   \
	(memcmp(&a->field, &b->field, sizeof(a->field))               \
		 ? (fprintf(stderr, "# " #field " differs\n"), false) \
		 : true)

bool machine_state_equal(const struct machine_state *a, const struct machine_state *b)
{
	bool same = SAME(regs) & SAME(sregs) & SAME(events) & SAME(debugregs) & SAME(fpu) &
		    SAME(mp_state) & SAME(trace_len) & SAME(trace);
	const uint64_t *x = (const uint64_t *)&a->regs, *y = (const uint64_t *)&b->regs;

	for (size_t i = 0; i < sizeof(a->regs) / 8; i++)
		if (x[i] != y[i])
			fprintf(stderr, "# register %zu: %#llx, with calls %#llx\n", i,
				(unsigned long long)x[i], (unsigned long long)y[i]);
	for (size_t i = 0; i < sizeof(a->ram); i++)
		if (a->ram[i] != b->ram[i]) {
			fprintf(stderr, "# RAM differs at %#zx: %#x, with calls %#x\n", i,
				a->ram[i], b->ram[i]);
			return false;
		}
	return same;
}

struct sym_vcpu_stats machine_stats(struct machine *m)
{
	struct sym_vcpu_stats stats;

	sym_vcpu_get_stats(m->vcpu, &stats);
	return stats;
}
