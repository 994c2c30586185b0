// SPDX-License-Identifier: BSD-2-Clause
/* What an administrator does while processes are swapped out. */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKERS_MAX 4
#define ZSWAP	    "/sys/module/zswap/parameters/"
#define PRIORITY    100

/* Processes that are swapped out, touch, write and verify until told to stop. */
struct workers {
	pid_t pids[WORKERS_MAX];
	int count;
	volatile int *stop; /* shared */
};

struct worker_argument {
	const struct torture_context *context;
	volatile int *stop;
};

static int worker_run(void *argument)
{
	const struct worker_argument *work = argument;
	struct region region;
	size_t bad = 0;

	if (region_create(&region, work->context->pages / 2, (uint32_t)getpid()))
		return 1;
	region_write(&region);
	while (!*work->stop && bad == 0) {
		torture_disturb(&region);
		bad = region_check(&region);
	}
	bad += region_check(&region);
	return bad != 0;
}

static int workers_start(const struct torture_context *context, struct workers *workers, int count)
{
	struct worker_argument argument = {.context = context};

	*workers = (struct workers){.count = count};
	workers->stop = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			     -1, 0);
	CHECK(workers->stop != MAP_FAILED, "no memory");
	argument.stop = workers->stop;
	for (int i = 0; i < count; i++) {
		workers->pids[i] = torture_spawn(worker_run, &argument);
		CHECK(workers->pids[i] > 0, "fork: %s", strerror(errno));
	}
	return 0;
}

static int workers_end(struct workers *workers, const char *when)
{
	int failed = 0;

	*workers->stop = 1;
	for (int i = 0; i < workers->count; i++)
		failed += torture_wait(workers->pids[i]) != 0;
	CHECK(failed == 0, "%d of %d processes failed %s", failed, workers->count, when);
	return 0;
}

static uint64_t deadline(const struct torture_context *context)
{
	return clock_ns() + context->seconds * 1000000000ull;
}

TORTURE_TEST(limited, "memcg", "a task at its cgroup's limit stays within it")
{
	struct torture_context large = *context;
	struct region_residency residency;
	size_t limit = context->pages / 2 * PAGE_BYTES, slack = PAGES_PER_MIB;
	struct region region;

	if (context->swapless)
		return torture_skip("needs swap");
	CHECK(torture_limit(limit) == 0, "cannot set memory.max");
	if (torture_prepare(&large, &region))
		return 1;
	for (int round = 0; round < 3; round++) {
		region_write(&region);
		CHECK_REGION(&region, "under the limit");
		residency = region_residency(&region);
		CHECK(residency.present <= limit / PAGE_BYTES + slack,
		      "%zu pages are there, its limit is %zu: it has more than it may",
		      residency.present, limit / PAGE_BYTES);
	}
	torture_limit(0);
	CHECK_REGION(&region, "after the limit went");
	return 0;
}

static int zswap_set(const char *text)
{
	return torture_put(ZSWAP "enabled", text);
}

/* Pages of RAM for all of it, where slots may be mapped instead: this way the kernel needs pages.
 */
static int pages_want(const struct region *region)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;
	char byte;

	for (size_t page = 0; fd >= 0 && got == 1 && page < region->pages; page++)
		got = pread(fd, &byte, 1, (off_t)(uintptr_t)region_page(region, page));
	close(fd);
	CHECK(fd >= 0 && got == 1, "/proc/self/mem: %s", strerror(errno));
	return 0;
}

static int zswap_rounds(struct region *region)
{
	long long most = 0, now;

	for (int round = 0; round < 4; round++) {
		/* Now their slots are stale: what they hold is older. */
		if (pages_want(region))
			return 1;
		zswap_set("Y");
		region_write(region);
		torture_disturb(region);
		now = torture_get("/proc/meminfo", "Zswapped");
		most = now > most ? now : most;
		region_pageout(region, 0, region->pages);
		zswap_set(round & 1 ? "Y" : "N");
		CHECK_REGION(region, "of which zswap took some");
		zswap_set("N");
		region_write(region);
		torture_disturb(region);
		CHECK_REGION(region, "after zswap was switched off");
	}
	CHECK(most > 0, "zswap took nothing");
	return 0;
}

TORTURE_TEST(stale, "zswap", "the guest's zswap on and off: slots that were not written")
{
	struct region region;
	int result;

	if (zswap_set("N"))
		return torture_skip("the kernel has no zswap");
	if (torture_prepare(context, &region))
		return 1;
	result = context->swapless ? 0 : zswap_rounds(&region);
	zswap_set("N");
	return result;
}

/* Move all of a process's memory to one node. */
static void nodes_move(pid_t pid, unsigned long from, unsigned long to)
{
	syscall(SYS_migrate_pages, pid, 64, &from, &to);
}

TORTURE_TEST(nodes, "numa", "NUMA balancing and migration between nodes")
{
	struct region region;
	struct workers workers;
	uint64_t end;

	if (access("/sys/devices/system/node/node1", F_OK) != 0)
		return torture_skip("one node only (numa=fake=2)");
	CHECK(torture_put("/proc/sys/kernel/numa_balancing", "1") == 0, "no NUMA balancing");
	torture_put("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "10");
	torture_put("/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", "10");
	if (torture_prepare(context, &region) || workers_start(context, &workers, 1))
		return 1;
	end = deadline(context);
	for (unsigned int round = 0; clock_ns() < end; round++) {
		unsigned long from = 1ul << (round & 1), to = 3 ^ from;

		nodes_move(0, from, to);
		nodes_move(workers.pids[0], from, to);
		torture_disturb(&region);
		CHECK_REGION(&region, "moved between nodes");
	}
	return workers_end(&workers, "while their pages moved");
}

TORTURE_TEST(hotplug, "hotplug", "CPUs go and come")
{
	struct workers workers;
	char path[64];
	uint64_t end;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	unsigned int changes = 0;

	if (cpus < 2)
		return torture_skip("one CPU only");
	if (workers_start(context, &workers, (int)(cpus < WORKERS_MAX ? cpus : WORKERS_MAX)))
		return 1;
	end = deadline(context);
	while (clock_ns() < end) {
		long cpu = 1 + changes % (unsigned int)(cpus - 1);

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/online", cpu);
		CHECK(torture_put(path, "0") == 0, "CPU %ld does not go", cpu);
		usleep(100000);
		CHECK(torture_put(path, "1") == 0, "CPU %ld does not come back", cpu);
		changes++;
	}
	CHECK(changes > 0, "no CPU went");
	return workers_end(&workers, "while CPUs went and came");
}

static int swap_on(const char *device)
{
	return swapon(device, SWAP_FLAG_PREFER | PRIORITY) == 0 ? 0 : -errno;
}

/* A worker that finds no swap cannot swap, and goes on. */
TORTURE_TEST(swap_off, "swapoff", "swapoff and swapon under load")
{
	struct workers workers;
	struct region region;
	uint64_t end;
	unsigned int rounds = 0;

	if (!context->device)
		return torture_skip("no --device");
	if (torture_prepare(context, &region) || workers_start(context, &workers, 2))
		return 1;
	end = deadline(context);
	while (clock_ns() < end || rounds < 2) {
		CHECK(swapoff(context->device) == 0, "swapoff: %s", strerror(errno));
		CHECK_REGION(&region, "after swapoff");
		usleep(50000);
		CHECK(swap_on(context->device) == 0, "swapon: %s", strerror(errno));
		usleep(100000);
		torture_disturb(&region);
		rounds++;
	}
	CHECK_REGION(&region, "after swapon");
	return workers_end(&workers, "while swap went and came");
}

/* The number in a file of the device's counters, or -1. */
static long long device_counter(const struct torture_context *context, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/symbiotic/%s",
		 strrchr(context->device, '/') + 1, name);
	return torture_get(path, NULL);
}

/* A process without the right to swapoff. A fork revokes mappings, so the process starts before. */
struct denied {
	const struct torture_context *context;
	int go[2];
	pid_t pid;
};

/* Every path, the device's own included. */
static int swapoff_denied(void *argument)
{
	const struct denied *denied = argument;
	const struct torture_context *context = denied->context;
	char byte;

	close(denied->go[1]);
	if (read(denied->go[0], &byte, 1) != 0)
		return 3;
	if (setgid(1000) || setuid(1000))
		return 1;
	for (int round = 0; round < 10; round++)
		if (swapoff("/nonexistent") == 0 || errno != EPERM ||
		    swapoff(context->device) == 0 || errno != EPERM)
			return 2;
	return 0;
}

/* Another swap comes and goes, if there is a disk for it. */
static int swapoff_other(const struct torture_context *context)
{
	char command[160];

	if (!context->disk)
		return 0;
	snprintf(command, sizeof(command), "mkswap %s >/dev/null 2>&1", context->disk);
	CHECK(system(command) == 0, "mkswap failed");
	CHECK(swapon(context->disk, 0) == 0, "swapon: %s", strerror(errno));
	CHECK(swapoff(context->disk) == 0, "swapoff: %s", strerror(errno));
	return 0;
}

#define FAKE_REVOKE "/sys/module/symbiotic/parameters/revoke" /* of the stand-in VMM */

TORTURE_TEST(swap_off_other, "swapoff-other", "a swapoff of something else revokes no mapping")
{
	struct denied denied = {.context = context};
	struct region region;
	long long mapped, revoked, asks = torture_get(FAKE_REVOKE, NULL);
	char text[32];

	if (!context->device)
		return torture_skip("no --device");
	CHECK(pipe(denied.go) == 0, "no pipe");
	denied.pid = torture_spawn(swapoff_denied, &denied);
	CHECK(denied.pid > 0, "fork: %s", strerror(errno));
	if (torture_prepare(context, &region))
		return 1;
	if (asks > 0)
		torture_put(FAKE_REVOKE, "0");
	usleep(500000); /* what it wanted before */
	torture_disturb(&region);
	revoked = device_counter(context, "maps_revoked");
	mapped = device_counter(context, "maps") + device_counter(context, "maps_around") - revoked;
	close(denied.go[1]);
	CHECK(torture_wait(denied.pid) == 0, "a swapoff without the right was not refused");
	if (swapoff_other(context))
		return 1;
	revoked = device_counter(context, "maps_revoked") - revoked;
	if (asks > 0) {
		snprintf(text, sizeof(text), "%lld", asks);
		torture_put(FAKE_REVOKE, text);
	}
	CHECK(mapped <= 0 || revoked <= mapped / 4, "%lld of %lld mappings were revoked", revoked,
	      mapped);
	CHECK_REGION(&region, "after swapoffs of something else");
	return 0;
}

/* Tasks that swap in must come to the point at which they can be frozen. */
TORTURE_TEST(suspend, "suspend", "suspend, as far as frozen tasks, under load")
{
	struct workers workers;
	int error;

	if (torture_put("/sys/power/pm_test", "freezer"))
		return torture_skip("the kernel has no pm_test");
	torture_put("/sys/module/suspend/parameters/pm_test_delay", "0");
	if (workers_start(context, &workers, 2))
		return 1;
	for (int round = 0; round < 3; round++) {
		usleep(500000);
		error = torture_put("/sys/power/state", "freeze");
		CHECK(error == 0, "tasks cannot be frozen: %s", strerror(-error));
	}
	torture_put("/sys/power/pm_test", "none");
	return workers_end(&workers, "while they were frozen and thawed");
}

static int run_command(const char *command, const char *argument)
{
	char line[160];

	snprintf(line, sizeof(line), "%s %s >/dev/null 2>&1", command, argument);
	return system(line);
}

TORTURE_TEST(reload, "reload",
	     "the driver is unloaded, while a task sleeps in a fault, and loaded again")
{
	struct workers workers;
	struct region region;
	pid_t asleep;

	if (!context->module || !context->device)
		return torture_skip("no --module and --device");
	asleep = torture_sleep_in_fault();
	CHECK(asleep > 0, "no process sleeps in a fault");
	if (torture_prepare(context, &region) || workers_start(context, &workers, 1))
		return 1;
	for (int round = 0; round < 3; round++) {
		CHECK(run_command("rmmod", context->module) != 0, "a driver in use was unloaded");
		CHECK(swapoff(context->device) == 0, "swapoff: %s", strerror(errno));
		CHECK(run_command("rmmod", context->module) == 0, "it cannot be unloaded");
		CHECK(access(context->device, F_OK) != 0, "its device is still there");
		CHECK(run_command("modprobe", context->module) == 0, "it cannot be loaded again");
		for (int i = 0; i < 100 && access(context->device, F_OK) != 0; i++)
			usleep(20000);
		CHECK(run_command("mkswap", context->device) == 0, "mkswap failed");
		CHECK(swap_on(context->device) == 0, "swapon: %s", strerror(errno));
		torture_disturb(&region);
		CHECK_REGION(&region, "after the driver was loaded again");
	}
	CHECK(kill(asleep, SIGKILL) == 0 && torture_wait(asleep) == 128 + SIGKILL,
	      "the process did not sleep in its fault all the time");
	return workers_end(&workers, "while the driver was reloaded");
}

/* By name: on zram, swapoff after it does not come to an end. */
TORTURE_TEST_BY_NAME(hibernate, "hibernation", "hibernation onto this swap is refused")
{
	struct region region;
	int error;

	if (torture_prepare(context, &region))
		return 1;
	if (access("/sys/power/disk", F_OK) != 0)
		return torture_skip("the kernel cannot hibernate");
	torture_put("/sys/power/disk", "test_resume"); /* would come back at once where it worked */
	error = torture_put("/sys/power/state", "disk");
	CHECK(error != 0, "it was not refused");
	CHECK_REGION(&region, "after hibernation was refused");
	return 0;
}
