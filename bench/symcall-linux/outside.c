/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other alternative to a symbiotic call: read the guest's memory from another process, here
 * the current task's pid and name on vCPU 0 of a Debian guest, as introspection tools do.
 *
 * Unlike a call, it needs symbols of exactly this kernel, offsets from its debug information, a
 * kernel at its link address (nokaslr), rights over the VMM's process, and a paused VM: otherwise
 * a task may end between two reads, and its memory may belong to another one.
 *
 * outside PID SOCKET PER_CPU_OFFSET CURRENT_TASK INIT_TOP_PGT PID_OFFSET COMM_OFFSET TURNS
 * prints `row` lines and a `result` line; times are by turns with the call `whoami`.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* __START_KERNEL_map: the kernel at its link address, from physical address 0 on. */
#define KERNEL_MAP   0xffffffff80000000ull
#define ADDRESS_BITS 0x000ffffffffff000ull
#define COMM_SIZE    16

struct guest {
	const uint8_t *ram;
	uint64_t size;
	uint64_t per_cpu_offset, current_task, page_table, pid_offset, comm_offset;
};

struct task {
	uint32_t pid;
	char comm[COMM_SIZE + 1];
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void ram_map(struct guest *guest, const char *pid)
{
	char path[300], target[300];
	DIR *directory;
	struct dirent *entry;
	struct stat status;
	ssize_t length;
	int fd = -1;

	snprintf(path, sizeof(path), "/proc/%s/map_files", pid);
	directory = opendir(path);
	while (directory && fd < 0 && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "/proc/%s/map_files/%s", pid, entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = '\0';
		if (strstr(target, "symvm-ram"))
			fd = open(path, O_RDONLY);
	}
	if (fd < 0 || fstat(fd, &status) < 0)
		fail("outside: the VM's memory");
	guest->size = (uint64_t)status.st_size;
	guest->ram = mmap(NULL, guest->size, PROT_READ, MAP_SHARED, fd, 0);
	if (guest->ram == MAP_FAILED)
		fail("outside: mmap");
}

static uint64_t physical_read(const struct guest *guest, uint64_t address)
{
	uint64_t value;

	if (address > guest->size - sizeof(value)) {
		fprintf(stderr, "outside: address %#llx is not in the guest's memory\n",
			(unsigned long long)address);
		exit(1);
	}
	memcpy(&value, guest->ram + address, sizeof(value));
	return value;
}

/* Reads by the kernel's own page table, that of init_mm: every table maps the data in question. */
static uint64_t virtual_read(const struct guest *guest, uint64_t address)
{
	uint64_t entry, table = guest->page_table, mask;

	for (int shift = 39; shift >= 12; shift -= 9) {
		entry = physical_read(guest, table + (address >> shift & 511) * 8);
		mask = (1ull << shift) - 1;
		if (!(entry & 1))
			return 0;
		table = entry & ADDRESS_BITS;
		if (shift == 12 || (shift < 39 && entry & 0x80))
			return physical_read(guest, (table & ~mask) | (address & mask));
	}
	return 0;
}

static struct task current_read(const struct guest *guest)
{
	uint64_t base = virtual_read(guest, guest->per_cpu_offset);
	uint64_t address = virtual_read(guest, base + guest->current_task), text;
	struct task task = {.pid = (uint32_t)virtual_read(guest, address + guest->pid_offset)};

	for (int i = 0; i < COMM_SIZE; i += 8) {
		text = virtual_read(guest, address + guest->comm_offset + i);
		memcpy(task.comm + i, &text, sizeof(text));
	}
	return task;
}

static int control_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("outside: control socket");
	return fd;
}

static const char *control_ask(int fd, const char *line)
{
	static char answer[4096];
	size_t length = 0;
	ssize_t got;

	if (write(fd, line, strlen(line)) < 0)
		fail("outside: control socket");
	while (!length || answer[length - 1] != '\n') {
		got = read(fd, answer + length, sizeof(answer) - 1 - length);
		if (got <= 0)
			fail("outside: control socket");
		length += (size_t)got;
	}
	answer[length] = '\0';
	if (strstr(answer, "\"error\"")) {
		fprintf(stderr, "outside: %s", answer);
		exit(1);
	}
	return answer;
}

static double us_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

struct times {
	double *call, *paused, *running, *ratio;
	size_t agree;
};

static void measure(const struct guest *guest, int control, struct times *times, size_t turns)
{
	for (size_t i = 0; i < turns; i++) {
		double start = us_now(), called, stopped;
		const char *who = control_ask(control, "{\"command\":\"call\",\"arguments\":"
						       "{\"call\":\"whoami\",\"vcpu\":0}}\n");
		const char *pid = strstr(who, "\"pid\"");
		struct task task;

		called = us_now();
		times->agree += pid && strtoul(pid + strcspn(pid, "0123456789"), NULL, 10) ==
					       current_read(guest).pid;
		stopped = us_now();
		control_ask(control, "{\"command\":\"pause\"}\n");
		task = current_read(guest);
		control_ask(control, "{\"command\":\"resume\"}\n");
		times->call[i] = called - start;
		times->paused[i] = us_now() - stopped;
		times->ratio[i] = times->call[i] / times->paused[i];
		start = us_now();
		task = current_read(guest);
		times->running[i] = us_now() - start;
		if (!task.comm[0]) {
			fprintf(stderr, "outside: a current task without a name\n");
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	size_t turns = argc == 9 ? strtoul(argv[8], NULL, 10) : 0;
	struct guest guest = {0};
	struct times times = {0};

	if (!turns) {
		fprintf(stderr, "outside: 8 arguments, see the source\n");
		return 1;
	}
	guest.per_cpu_offset = strtoull(argv[3], NULL, 16);
	guest.current_task = strtoull(argv[4], NULL, 16);
	guest.page_table = strtoull(argv[5], NULL, 16) - KERNEL_MAP;
	guest.pid_offset = strtoull(argv[6], NULL, 10);
	guest.comm_offset = strtoull(argv[7], NULL, 10);
	ram_map(&guest, argv[1]);
	times.call = calloc(4 * turns, sizeof(double));
	if (!times.call)
		fail("outside");
	times.paused = times.call + turns;
	times.running = times.paused + turns;
	times.ratio = times.running + turns;
	measure(&guest, control_open(argv[2]), &times, turns);
	/* The guest is idle: both must see the same task nearly always. */
	if (times.agree < turns / 2) {
		fprintf(stderr, "outside: %zu of %zu pids only agree with the call's\n",
			times.agree, turns);
		return 1;
	}
	printf("row \"task by call\" %.0f us\n", median(times.call, turns));
	printf("row \"task from outside, paused\" %.0f us\n", median(times.paused, turns));
	printf("row \"task from outside, running\" %.1f us\n", median(times.running, turns));
	printf("result symcall.vs_outside_read %.3f ratio\n", median(times.ratio, turns));
	return 0;
}
