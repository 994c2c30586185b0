// SPDX-License-Identifier: BSD-2-Clause
/* The part of `symvm doctor` that checks KVM. Documentation/virt/kvm/api.rst. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_GPA  0x1000ull
#define GUEST_PORT 0x10
#define GUEST_SIZE 4096u

void doctor_machine_open(struct doctor_machine *machine)
{
	machine->vm_fd = -ENODEV;
	machine->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (machine->kvm_fd < 0) {
		machine->kvm_fd = -errno;
		return;
	}
	machine->vm_fd = ioctl(machine->kvm_fd, KVM_CREATE_VM, 0);
	if (machine->vm_fd < 0)
		machine->vm_fd = -errno;
}

void doctor_machine_close(struct doctor_machine *machine)
{
	if (machine->vm_fd >= 0)
		close(machine->vm_fd);
	if (machine->kvm_fd >= 0)
		close(machine->kvm_fd);
}

static int probe_api(const struct doctor_machine *machine, int value, char *detail, size_t size)
{
	int version = ioctl(machine->kvm_fd, KVM_GET_API_VERSION, 0);

	snprintf(detail, size, "version %d", version);
	return version == KVM_API_VERSION ? 0 : -ENOTSUP;
}

static int probe_capability(const struct doctor_machine *machine, int value, char *detail,
			    size_t size)
{
	/* Some depend on the VM, so the VM is asked if there is one. */
	int fd = machine->vm_fd >= 0 ? machine->vm_fd : machine->kvm_fd;

	return ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)value) > 0 ? 0 : -ENOTSUP;
}

static int probe_sync_regs(const struct doctor_machine *machine, int value, char *detail,
			   size_t size)
{
	const int all = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	int have = ioctl(machine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);

	return have > 0 && (have & all) == all ? 0 : -ENOTSUP;
}

/*
 * Never a fault: a filter makes the interface's MSRs leave KVM, and ignore_msrs does not affect it.
 */
static int probe_unknown_msrs(const struct doctor_machine *machine, int value, char *detail,
			      size_t size)
{
	FILE *file = fopen("/sys/module/kvm/parameters/ignore_msrs", "re");
	bool ignored = file && fgetc(file) == 'Y';

	if (file)
		fclose(file);
	snprintf(detail, size, "%s",
		 ignored ? "ignored, as kvm.ignore_msrs=1 says; the symbiotic interface works "
			   "all the same"
			 : "raise #GP");
	return 0;
}

#define OLD_KERNEL                                                                \
	"this host's KVM is too old or not complete: use Linux 5.10 or newer on " \
	"hardware with virtualization, or the lab (lab/run COMMAND)"
#define REQUIRED_CAP(cap_name, cap, for_what)                                          \
	{                                                                              \
		cap_name, DOCTOR_REQUIRED, for_what, OLD_KERNEL, probe_capability, cap \
	}
#define SYMBIOTIC_CAP(cap_name, cap, for_what)                                                 \
	{                                                                                      \
		cap_name, DOCTOR_WANTED, for_what, OLD_KERNEL ", or run with --symbiotic off", \
			probe_capability, cap                                                  \
	}

const struct doctor_check doctor_kvm_checks[] = {
	{"KVM API", DOCTOR_REQUIRED, "everything", OLD_KERNEL, probe_api, 0},
	REQUIRED_CAP("IRQCHIP", KVM_CAP_IRQCHIP, "interrupt controllers in the kernel"),
	REQUIRED_CAP("IRQ_ROUTING", KVM_CAP_IRQ_ROUTING, "MSI interrupts"),
	REQUIRED_CAP("IRQFD", KVM_CAP_IRQFD, "interrupts from device threads"),
	REQUIRED_CAP("IOEVENTFD", KVM_CAP_IOEVENTFD, "queue notifications without an exit"),
	REQUIRED_CAP("IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT, "pausing vCPUs"),
	REQUIRED_CAP("READONLY_MEM", KVM_CAP_READONLY_MEM, "read-only guest memory"),
	{"SYNC_REGS", DOCTOR_WANTED, "synchronous calls into the guest",
	 OLD_KERNEL ", or run with --symbiotic off", probe_sync_regs, 0},
	SYMBIOTIC_CAP("X86_USER_SPACE_MSR", KVM_CAP_X86_USER_SPACE_MSR,
		      "registration of the symbiotic interface"),
	SYMBIOTIC_CAP("X86_MSR_FILTER", KVM_CAP_X86_MSR_FILTER,
		      "registration of the symbiotic interface"),
	{"unknown MSRs", DOCTOR_OPTIONAL, "in guests", "", probe_unknown_msrs, 0},
	SYMBIOTIC_CAP("VCPU_EVENTS", KVM_CAP_VCPU_EVENTS, "synchronous calls into the guest"),
	SYMBIOTIC_CAP("MP_STATE", KVM_CAP_MP_STATE, "synchronous calls into the guest"),
};
const size_t doctor_kvm_check_count = sizeof(doctor_kvm_checks) / sizeof(doctor_kvm_checks[0]);

static int fail(char *detail, size_t size, const char *what)
{
	int code = errno ? -errno : -EIO;

	snprintf(detail, size, "%s: %s", what, strerror(-code));
	return code;
}

static int set_registers(int vcpu_fd)
{
	struct kvm_regs regs = {.rip = GUEST_GPA, .rflags = 2};
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
		return -1;
	return ioctl(vcpu_fd, KVM_SET_REGS, &regs);
}

static int run_vcpu(const struct doctor_machine *machine, int vcpu_fd, char *detail, size_t size)
{
	int run_size = ioctl(machine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run;
	int status = 0;

	if (run_size < (int)sizeof(*run))
		return fail(detail, size, "KVM_GET_VCPU_MMAP_SIZE");
	run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (run == MAP_FAILED)
		return fail(detail, size, "mapping a vCPU");
	if (set_registers(vcpu_fd) < 0) {
		status = fail(detail, size, "setting a vCPU's registers");
	} else if (ioctl(vcpu_fd, KVM_RUN, 0) < 0) {
		status = fail(detail, size, "KVM_RUN");
	} else if (run->exit_reason != KVM_EXIT_IO || run->io.port != GUEST_PORT) {
		snprintf(detail, size, "a test guest left with exit reason %u, not by its OUT",
			 run->exit_reason);
		status = -EIO;
	}
	munmap(run, (size_t)run_size);
	return status;
}

int doctor_run_guest(const struct doctor_machine *machine, char *detail, size_t size)
{
	static const uint8_t code[] = {0xb0, 0x2a, 0xe6, GUEST_PORT, 0xf4}; /* mov, out, hlt */
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = GUEST_GPA,
		.memory_size = GUEST_SIZE,
	};
	uint8_t *memory;
	int vcpu_fd, status;

	if (machine->vm_fd < 0) {
		errno = -machine->vm_fd;
		return fail(detail, size, "KVM_CREATE_VM");
	}
	memory = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return fail(detail, size, "memory");
	memcpy(memory, code, sizeof(code));
	region.userspace_addr = (uintptr_t)memory;
	vcpu_fd = -1;
	if (ioctl(machine->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0)
		vcpu_fd = ioctl(machine->vm_fd, KVM_CREATE_VCPU, 0);
	if (vcpu_fd < 0) {
		status = fail(detail, size, "making a vCPU");
	} else {
		status = run_vcpu(machine, vcpu_fd, detail, size);
		close(vcpu_fd);
	}
	munmap(memory, GUEST_SIZE);
	return status;
}
