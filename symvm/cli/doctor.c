// SPDX-License-Identifier: BSD-2-Clause
/*
 * `symvm doctor`: can guests run on this machine, why (not), and what to do about it. The exit
 * status is 0 if they can. A machine is one of: hardware KVM; the lab (KVM on a CPU that QEMU
 * emulates); a software KVM, which runs instructions one by one in an emulator; no KVM.
 */
#include "cli/doctor.h"

#include <cpuid.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

#define CPUID_1_ECX_VMX	       (1u << 5)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_EXT1_ECX_SVM     (1u << 2)
#define CPUID_HYPERVISOR_LEAF  0x40000000u

struct cpu {
	const char *virtualization; /* "svm", "vmx", or NULL */
	char hypervisor[13];	    /* vendor of the hypervisor below us; "" on bare metal */
};

static void look_at_cpu(struct cpu *cpu)
{
	unsigned eax, ebx, ecx, edx;

	memset(cpu, 0, sizeof(*cpu));
	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		return;
	if (ecx & CPUID_1_ECX_VMX)
		cpu->virtualization = "vmx";
	if (ecx & CPUID_1_ECX_HYPERVISOR) {
		__cpuid(CPUID_HYPERVISOR_LEAF, eax, ebx, ecx, edx);
		memcpy(cpu->hypervisor, &ebx, 4);
		memcpy(cpu->hypervisor + 4, &ecx, 4);
		memcpy(cpu->hypervisor + 8, &edx, 4);
		for (char *c = cpu->hypervisor; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
	}
	if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_EXT1_ECX_SVM))
		cpu->virtualization = "svm";
}

/* Prints which KVM this machine has; returns whether it runs guests. */
static bool judge_kvm(const struct doctor_machine *machine, const struct cpu *cpu)
{
	char detail[128] = "";

	if (machine->kvm_fd < 0) {
		printf("no KVM: /dev/kvm: %s\n", strerror(-machine->kvm_fd));
		if (machine->kvm_fd == -EACCES || machine->kvm_fd == -EPERM)
			printf("  do: add yourself to the group that owns /dev/kvm, and log in "
			       "again\n");
		else if (cpu->virtualization)
			printf("  do: modprobe kvm_%s\n",
			       strcmp(cpu->virtualization, "svm") == 0 ? "amd" : "intel");
		else
			printf("  do: switch virtualization on in the firmware (or in the "
			       "hypervisor below), or use the lab: lab/run COMMAND\n");
		return false;
	}
	if (!cpu->virtualization) {
		printf("software KVM: /dev/kvm opens, but the CPU shows neither svm nor vmx; it "
		       "interprets guests, far too slowly for Linux\n"
		       "  do: use the lab: lab/run COMMAND (make run and make test do so by "
		       "themselves)\n");
		return false;
	}
	if (doctor_run_guest(machine, detail, sizeof(detail)) < 0) {
		printf("broken KVM: the CPU has %s, but %s\n"
		       "  do: look into the kernel's log (dmesg | grep -i kvm), or use the lab: "
		       "lab/run COMMAND\n",
		       cpu->virtualization, detail);
		return false;
	}
	if (strcmp(cpu->hypervisor, "TCGTCGTCGTCG") == 0)
		printf("the lab: KVM on an emulated CPU with %s; guests run, slowly\n",
		       cpu->virtualization);
	else if (cpu->hypervisor[0])
		printf("hardware KVM (%s), nested in a hypervisor that calls itself '%s'; guests "
		       "run directly\n",
		       cpu->virtualization, cpu->hypervisor);
	else
		printf("hardware KVM (%s); guests run directly\n", cpu->virtualization);
	return true;
}

/* Prints a check's result; returns whether a required thing is missing. */
static bool run_check(const struct doctor_machine *machine, const struct doctor_check *check)
{
	static const char *const words[] = {
		[DOCTOR_REQUIRED] = "MISSING",
		[DOCTOR_WANTED] = "missing",
		[DOCTOR_OPTIONAL] = "absent",
	};
	char detail[128] = "";
	int status = check->probe(machine, check->value, detail, sizeof(detail));

	if (status == 0) {
		printf("  ok       %-20s %s%s%s\n", check->name, check->purpose,
		       detail[0] ? ": " : "", detail);
		return false;
	}
	printf("  %-8s %-20s %s: %s\n", words[check->need], check->name, check->purpose,
	       detail[0] ? detail : strerror(-status));
	printf("           %-20s do: %s\n", "", check->advice);
	return check->need == DOCTOR_REQUIRED;
}

static int doctor_run(const struct command *command, struct command_input *input)
{
	struct doctor_machine machine;
	struct cpu cpu;
	bool good;

	look_at_cpu(&cpu);
	doctor_machine_open(&machine);
	good = judge_kvm(&machine, &cpu);
	for (size_t i = 0; i < doctor_kvm_check_count && machine.kvm_fd >= 0; i++)
		good &= !run_check(&machine, &doctor_kvm_checks[i]);
	for (size_t i = 0; i < doctor_host_check_count; i++)
		good &= !run_check(&machine, &doctor_host_checks[i]);
	for (size_t i = 0; i < doctor_jail_check_count; i++)
		good &= !run_check(&machine, &doctor_jail_checks[i]);
	doctor_machine_close(&machine);
	printf("%s\n", good ? "guests can run here" : "guests cannot run here directly");
	return good ? COMMAND_SUCCESS : COMMAND_FAILURE;
}

static const struct command doctor_command = {
	.name = "doctor",
	.summary = "Show whether guests can run on this machine, and what to do if not",
	.arguments = {.about = "Show whether guests can run on this machine, why, and what to do.",
		      .notes = "The exit status is 0 if they can, else 1. 'MISSING': nothing runs "
			       "without it. 'missing': something that is on by default will not "
			       "work. 'absent': an option will not work."},
	.run = doctor_run,
};
COMMAND(doctor_command);
