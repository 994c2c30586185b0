// SPDX-License-Identifier: BSD-2-Clause
/* Other processes, and the kernel, that look into swapped memory. */
#include "torture.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CORE "/tmp/swap-torture.core"

/* A child that alone has the region; the parent knows what is in it. */
struct victim {
	struct region region;
	pid_t pid;
	int link;
};

/* Commands are one byte, and are answered by one: 0, or 1 for wrong contents. */
static int victim_serve(struct victim *victim, int link)
{
	char command, answer;

	while (read(link, &command, 1) == 1) {
		answer = 0;
		switch (command) {
		case 'p': /* swap out */
			region_pageout(&victim->region, 0, victim->region.pages);
			break;
		case 'n': /* somebody else has written all pages' next generation */
			for (size_t page = 0; page < victim->region.pages; page++)
				victim->region.generation[page]++;
			break;
		case 'c': /* check */
			answer = region_check(&victim->region) != 0;
			break;
		case 'a':
			abort();
		}
		if (write(link, &answer, 1) != 1)
			break;
	}
	return 0;
}

static int victim_ask(struct victim *victim, char command)
{
	char answer;

	if (write(victim->link, &command, 1) != 1 || read(victim->link, &answer, 1) != 1)
		return torture_fail("the victim is gone");
	return answer;
}

static int victim_start(const struct torture_context *context, struct victim *victim)
{
	int links[2];

	if (torture_prepare(context, &victim->region))
		return 1;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, links) == 0, "socketpair: %s", strerror(errno));
	victim->link = links[0];
	victim->pid = fork();
	CHECK(victim->pid >= 0, "fork: %s", strerror(errno));
	if (victim->pid == 0) {
		close(links[0]);
		_exit(victim_serve(victim, links[1]));
	}
	close(links[1]);
	/* At the same address, but no longer ours. */
	munmap(victim->region.base, victim->region.pages * PAGE_BYTES);
	return victim_ask(victim, 'p');
}

static ssize_t by_process_vm(struct victim *victim, void *here, void *there, bool writing)
{
	struct iovec local = {here, PAGE_BYTES}, remote = {there, PAGE_BYTES};

	return writing ? process_vm_writev(victim->pid, &local, 1, &remote, 1, 0)
		       : process_vm_readv(victim->pid, &local, 1, &remote, 1, 0);
}

static ssize_t by_proc_mem(struct victim *victim, void *here, void *there, bool writing)
{
	static int fd = -1;
	char path[32];

	if (fd < 0) {
		snprintf(path, sizeof(path), "/proc/%d/mem", victim->pid);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	return writing ? pwrite(fd, here, PAGE_BYTES, (off_t)(uintptr_t)there)
		       : pread(fd, here, PAGE_BYTES, (off_t)(uintptr_t)there);
}

/* Word by word: the first word of a page decides whether it is there. */
static ssize_t by_ptrace(struct victim *victim, void *here, void *there, bool writing)
{
	long *words = here;

	for (size_t i = 0; i < PAGE_WORDS; i++) {
		long *address = (long *)there + i;

		errno = 0;
		if (writing)
			ptrace(PTRACE_POKEDATA, victim->pid, address, words[i]);
		else
			words[i] = ptrace(PTRACE_PEEKDATA, victim->pid, address, NULL);
		if (errno)
			return -1;
	}
	return PAGE_BYTES;
}

typedef ssize_t transfer_fn(struct victim *victim, void *here, void *there, bool writing);

static int victim_read_all(struct victim *victim, transfer_fn *transfer, size_t step)
{
	static uint8_t buffer[PAGE_BYTES] __attribute__((aligned(4096)));
	size_t bad = 0;

	for (size_t page = 0; page < victim->region.pages; page += step) {
		ssize_t got = transfer(victim, buffer, region_page(&victim->region, page), false);

		CHECK(got == (ssize_t)PAGE_BYTES, "page %zu cannot be read: %s", page,
		      strerror(errno));
		bad += !region_matches(&victim->region, page, buffer);
	}
	CHECK(bad == 0, "%zu pages read from another process are wrong", bad);
	return 0;
}

static int victim_write_all(struct victim *victim, transfer_fn *transfer)
{
	static uint8_t buffer[PAGE_BYTES] __attribute__((aligned(4096)));

	for (size_t page = 0; page < victim->region.pages; page++) {
		ssize_t done;

		region_render_page(&victim->region, page, buffer);
		done = transfer(victim, buffer, region_page(&victim->region, page), true);
		CHECK(done == (ssize_t)PAGE_BYTES, "page %zu cannot be written: %s", page,
		      strerror(errno));
	}
	return 0;
}

static int remote_test(const struct torture_context *context, transfer_fn *transfer)
{
	struct victim victim;

	if (victim_start(context, &victim))
		return 1;
	if (victim_read_all(&victim, transfer, 1) || victim_ask(&victim, 'p') ||
	    victim_write_all(&victim, transfer) || victim_ask(&victim, 'n'))
		return 1;
	CHECK(victim_ask(&victim, 'c') == 0, "what another process wrote is not there");
	if (victim_ask(&victim, 'p') || victim_read_all(&victim, transfer, 1))
		return 1;
	CHECK(victim_ask(&victim, 'c') == 0, "its owner sees wrong pages in the end");
	return 0;
}

TORTURE_TEST(process_vm, "process-vm", "process_vm_readv and process_vm_writev on swapped pages")
{
	return remote_test(context, by_process_vm);
}

TORTURE_TEST(proc_mem, "proc-mem", "/proc/PID/mem of a swapped process")
{
	return remote_test(context, by_proc_mem);
}

TORTURE_TEST(trace, "ptrace", "a debugger peeks and pokes at swapped pages")
{
	static uint8_t buffer[PAGE_BYTES] __attribute__((aligned(4096)));
	struct victim victim;
	size_t step = context->pages / 64 + 1;
	int status;

	if (victim_start(context, &victim))
		return 1;
	CHECK(ptrace(PTRACE_ATTACH, victim.pid, NULL, NULL) == 0, "attach: %s", strerror(errno));
	CHECK(waitpid(victim.pid, &status, 0) == victim.pid && WIFSTOPPED(status), "no stop");
	if (victim_read_all(&victim, by_ptrace, step))
		return 1;
	/* The page after each one read: poke what it holds already, inverted and back. */
	for (size_t page = 1; page < victim.region.pages; page += step) {
		long *there = (long *)region_page(&victim.region, page), word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, victim.pid, there, NULL);
		CHECK(errno == 0, "peek: %s", strerror(errno));
		CHECK(ptrace(PTRACE_POKEDATA, victim.pid, there, ~word) == 0, "poke: %s",
		      strerror(errno));
		CHECK(by_process_vm(&victim, buffer, there, false) == (ssize_t)PAGE_BYTES,
		      "read: %s", strerror(errno));
		CHECK(*(long *)buffer == ~word, "page %zu does not hold what was poked", page);
		ptrace(PTRACE_POKEDATA, victim.pid, there, word);
	}
	ptrace(PTRACE_DETACH, victim.pid, NULL, NULL);
	CHECK(victim_ask(&victim, 'c') == 0, "its owner sees wrong pages after the debugger");
	return 0;
}

/* Compare the region as the core file has it. */
static int core_compare(const struct region *region)
{
	int fd = open(CORE, O_RDONLY | O_CLOEXEC);
	static uint8_t buffer[PAGE_BYTES];
	uint64_t start = (uintptr_t)region->base, found = 0, bad = 0;
	Elf64_Ehdr header;
	Elf64_Phdr part;

	CHECK(fd >= 0, "no core file: %s", strerror(errno));
	CHECK(pread(fd, &header, sizeof(header), 0) == sizeof(header), "the core file is cut off");
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + i * sizeof(part));

		CHECK(pread(fd, &part, sizeof(part), at) == sizeof(part),
		      "the core file is cut off");
		for (size_t page = 0; part.p_type == PT_LOAD && page < region->pages; page++) {
			uint64_t address = start + page * PAGE_BYTES;

			if (address < part.p_vaddr || address >= part.p_vaddr + part.p_filesz)
				continue;
			at = (off_t)(part.p_offset + address - part.p_vaddr);
			found++;
			bad += pread(fd, buffer, PAGE_BYTES, at) != (ssize_t)PAGE_BYTES ||
			       !region_matches(region, page, buffer);
		}
	}
	close(fd);
	CHECK(found == region->pages, "the core file has %lu of %zu pages", found, region->pages);
	CHECK(bad == 0, "%lu pages are wrong in the core file", bad);
	return 0;
}

TORTURE_TEST(core, "core-dump", "a core file of a process that is swapped out")
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct torture_context small = *context;
	struct victim victim;
	int status;

	small.pages = context->pages < 1536 ? context->pages : 1536; /* the file is in RAM, too */
	CHECK(torture_put("/proc/sys/kernel/core_pattern", CORE) == 0, "no core_pattern");
	torture_put("/proc/sys/kernel/core_uses_pid", "0");
	unlink(CORE);
	setrlimit(RLIMIT_CORE, &unlimited);
	if (victim_start(&small, &victim))
		return 1;
	CHECK(write(victim.link, "a", 1) == 1, "the victim is gone");
	CHECK(waitpid(victim.pid, &status, 0) == victim.pid && WIFSIGNALED(status) &&
		      WCOREDUMP(status),
	      "no core was dumped, status %x", status);
	status = core_compare(&victim.region);
	unlink(CORE);
	return status;
}

/* Of the stand-in VMM of tests/plain: a driver that uses the process's page tables. */
#define FAKE_HMM "/sys/module/symbiotic/parameters/hmm"

TORTURE_TEST(hmm, "hmm", "a device that uses page tables of a process gets RAM")
{
	struct region region;
	char address[32];
	int error;

	if (access(FAKE_HMM, F_OK) != 0)
		return torture_skip("no driver that uses HMM");
	if (torture_prepare(context, &region))
		return 1;
	for (size_t page = 0; page + 256 <= region.pages; page += 256) {
		snprintf(address, sizeof(address), "%p", (void *)region_page(&region, page));
		error = torture_put(FAKE_HMM, address);
		CHECK(error == 0, "pages from %zu on: %s", page, strerror(-error));
	}
	CHECK_REGION(&region, "after a device used it");
	torture_disturb(&region);
	CHECK_REGION(&region, "after more");
	return 0;
}
