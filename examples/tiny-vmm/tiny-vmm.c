/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tiny-vmm IMAGE: the smallest VMM that embeds libsymcall. It runs a flat 64-bit
 * image (guest/bare/tiny.c) on one vCPU with three devices: a console port, a port
 * whose reads it answers *by asking the guest*, and a power switch.
 *
 * What an embedder has to do is marked with "symcall:".
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <symbiotic/symcall.h>

#define RAM_SIZE     0x400000u
#define IMAGE_GPA    0x100000u
#define IMAGE_BASE   0xffffffff80000000ull /* RAM's second, upper mapping */
#define PORT_CONSOLE 0xe9
#define PORT_ASK     0x600
#define PORT_POWER   0x604
#define CPUID_MAX    256
#define DEADLINE_US  200000
#define EXIT_POWER   1 /* dispatch(): the guest switched itself off */

struct tiny {
	int vm_fd, vcpu_fd;
	struct kvm_run *run;
	uint8_t *ram;
	timer_t timer;
	struct sym_vm *vm;
	struct sym_vcpu *vcpu;
	int status;
};

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "tiny-vmm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int checked(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

/* symcall: guest RAM, checked. */
static void *translate(void *opaque, uint64_t gpa, uint64_t len)
{
	struct tiny *tiny = opaque;

	return gpa < RAM_SIZE && len <= RAM_SIZE - gpa ? tiny->ram + gpa : NULL;
}

/* symcall: deadlines by a timer whose signal repeats, so that none is lost before KVM_RUN. */
static void set_deadline(struct tiny *tiny, uint64_t usec)
{
	struct itimerspec spec = {
		.it_value = {(time_t)(usec / 1000000), (long)(usec % 1000000) * 1000},
		.it_interval = {0, 10000000}};

	timer_settime(tiny->timer, 0, &spec, NULL);
}

static void arm_deadline(void *vcpu, uint64_t usec)
{
	set_deadline(vcpu, usec);
}

static void disarm_deadline(void *vcpu)
{
	set_deadline(vcpu, 0);
}

static void on_signal(int signal)
{
}

static void log_line(void *opaque, enum sym_log_level level, const char *message)
{
	fprintf(stderr, "tiny-vmm: %s\n", message);
}

/* symcall: call the guest while its IN is being handled, and answer IN with the result. */
static void answer_by_asking(struct tiny *tiny)
{
	const struct sym_call_request request = {.number = SYM_CALL_PING, .args = {20, 22}};
	struct sym_call_result result;
	int error = sym_call(tiny->vcpu, &request, &result);
	uint32_t value = error ? (uint32_t)error : (uint32_t)result.value;

	printf("vmm: asked the guest inside its own IN: %s %d\n", error ? "errno" : "it says",
	       error ? -error : (int)result.value);
	error = sym_vcpu_answer(tiny->vcpu, &value, tiny->run->io.size);
	if (error)
		fprintf(stderr, "tiny-vmm: cannot answer IN: %s\n", strerror(-error));
}

/* The devices. 0, EXIT_POWER, or negative errno. */
static int dispatch(struct tiny *tiny)
{
	struct kvm_run *run = tiny->run;
	const uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (run->exit_reason == KVM_EXIT_X86_RDMSR || run->exit_reason == KVM_EXIT_X86_WRMSR)
		return sym_vcpu_answer_fault(tiny->vcpu); /* symcall: MSRs of nobody */
	if (run->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "tiny-vmm: exit %u\n", run->exit_reason);
		return -ENOTSUP;
	}
	if (run->io.port == PORT_CONSOLE && run->io.direction == KVM_EXIT_IO_OUT) {
		fwrite(data, run->io.size, run->io.count, stdout);
	} else if (run->io.port == PORT_ASK && run->io.direction == KVM_EXIT_IO_IN) {
		answer_by_asking(tiny);
	} else if (run->io.port == PORT_POWER && run->io.direction == KVM_EXIT_IO_OUT) {
		tiny->status = *data;
		return EXIT_POWER;
	}
	return 0;
}

/* symcall: exits of a handler go to the same devices; power off ends the call. */
static int service_exit(void *vcpu, struct kvm_run *run)
{
	int result = dispatch(vcpu);

	return result == EXIT_POWER ? -ECANCELED : result;
}

static const struct sym_ops ops = {
	.translate = translate,
	.service_exit = service_exit,
	.arm_deadline = arm_deadline,
	.disarm_deadline = disarm_deadline,
	.log = log_line,
};

static void load_image(struct tiny *tiny, const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		fail(path);
	if (!fread(tiny->ram + IMAGE_GPA, 1, RAM_SIZE - IMAGE_GPA, file) || !feof(file)) {
		fprintf(stderr, "tiny-vmm: %s: empty, or larger than %u bytes\n", path,
			RAM_SIZE - IMAGE_GPA);
		exit(1);
	}
	fclose(file);
}

/* Long mode: RAM at IMAGE_BASE in 2 MiB pages, flat segments, stack at the end of RAM. */
static void start_state(struct tiny *tiny)
{
	const struct kvm_segment code = {.limit = 0xffffffff,
					 .selector = 8,
					 .type = 11,
					 .present = 1,
					 .s = 1,
					 .l = 1,
					 .g = 1};
	struct kvm_segment data = {.limit = 0xffffffff,
				   .selector = 16,
				   .type = 3,
				   .present = 1,
				   .s = 1,
				   .db = 1,
				   .g = 1};
	struct kvm_regs regs = {
		.rip = IMAGE_BASE + IMAGE_GPA, .rsp = IMAGE_BASE + RAM_SIZE, .rflags = 2};
	uint64_t *tables = (uint64_t *)(tiny->ram + 0x1000);
	struct kvm_sregs sregs;

	tables[511] = 0x2000 | 3;
	tables[512 + 510] = 0x3000 | 3;
	for (uint64_t i = 0; i < RAM_SIZE >> 21; i++)
		tables[1024 + i] = i << 21 | 0x83;
	checked(ioctl(tiny->vcpu_fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x80000011;
	sregs.cr3 = 0x1000;
	sregs.cr4 = 0x20;
	sregs.efer = 0x500;
	checked(ioctl(tiny->vcpu_fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	checked(ioctl(tiny->vcpu_fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void set_cpuid(struct tiny *tiny, int kvm_fd)
{
	struct kvm_cpuid2 *cpuid = calloc(1,
					  sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid)
		fail("CPUID list");
	cpuid->nent = CPUID_MAX;
	checked(ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	/* symcall: the guest finds the interface by CPUID. */
	errno = -sym_vm_cpuid_extend(tiny->vm, cpuid, CPUID_MAX);
	if (errno)
		fail("sym_vm_cpuid_extend");
	checked(ioctl(tiny->vcpu_fd, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}

static void create_timer(struct tiny *tiny)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	struct sigaction action = {.sa_handler = on_signal};

	event._sigev_un._tid = (int)syscall(SYS_gettid);
	checked(sigaction(SIGUSR1, &action, NULL), "sigaction");
	checked(timer_create(CLOCK_MONOTONIC, &event, &tiny->timer), "timer_create");
}

static void create_machine(struct tiny *tiny)
{
	int kvm_fd = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE};
	struct sym_vm_config config = {.size = sizeof(config),
				       .ops = &ops,
				       .opaque = tiny,
				       .name = "tiny",
				       .deadline_us = DEADLINE_US,
				       .features = SYM_FEATURE_SYMCALL};
	const char *missing;
	int size;

	tiny->vm_fd = config.vm_fd = checked(ioctl(kvm_fd, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	ioctl(tiny->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* only VMX wants it */
	tiny->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	if (tiny->ram == MAP_FAILED)
		fail("guest RAM");
	region.userspace_addr = (uintptr_t)tiny->ram;
	checked(ioctl(tiny->vm_fd, KVM_SET_USER_MEMORY_REGION, &region), "guest RAM");
	/* symcall: the VM's half. */
	if (sym_check_host(kvm_fd, &missing)) {
		fprintf(stderr, "tiny-vmm: this host's KVM lacks %s\n", missing);
		exit(1);
	}
	tiny->vm = sym_vm_create(&config);
	if (!tiny->vm)
		fail("sym_vm_create");
	errno = -sym_vm_enable_msrs(tiny->vm, 0);
	if (errno)
		fail("sym_vm_enable_msrs");
	tiny->vcpu_fd = checked(ioctl(tiny->vm_fd, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	size = checked(ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	tiny->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, tiny->vcpu_fd, 0);
	if (tiny->run == MAP_FAILED)
		fail("kvm_run");
	set_cpuid(tiny, kvm_fd);
	/* symcall: the vCPU's half. */
	tiny->vcpu = sym_vcpu_create(tiny->vm, tiny->vcpu_fd, tiny->run, 0, tiny);
	if (!tiny->vcpu)
		fail("sym_vcpu_create");
	close(kvm_fd);
}

static int run(struct tiny *tiny)
{
	for (;;) {
		int result = sym_vcpu_run(tiny->vcpu); /* symcall: KVM_RUN with first refusal */

		if (result == 0)
			result = dispatch(tiny);
		else if (result == 1 || result == -EINTR)
			continue;
		if (result == EXIT_POWER)
			return tiny->status;
		if (result < 0) {
			fprintf(stderr, "tiny-vmm: %s\n", strerror(-result));
			return 1;
		}
	}
}

int main(int argc, char **argv)
{
	struct tiny tiny = {0};
	int status;

	if (argc != 2) {
		fprintf(stderr, "usage: tiny-vmm IMAGE\n");
		return 2;
	}
	create_timer(&tiny);
	create_machine(&tiny);
	load_image(&tiny, argv[1]);
	start_state(&tiny);
	status = run(&tiny);
	sym_vcpu_destroy(tiny.vcpu);
	sym_vm_destroy(tiny.vm);
	return status;
}
