/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swap-torture: what programs and kernels do to memory, on memory that is swapped out, with every
 * byte verified. A test is one TORTURE_TEST in a file of its subject; it runs in a process of its
 * own, in a memory cgroup of its own, and no other file knows of it.
 */
#ifndef SWAP_TORTURE_H
#define SWAP_TORTURE_H

#include <sys/types.h>

#include "../pages.h"

struct torture_context {
	size_t pages;	      /* of a region, about */
	unsigned int seconds; /* for tests that go on for a time */
	const char *device;   /* the swap device, or NULL */
	const char *module;   /* its driver, for tests that reload it, or NULL */
	const char *disk;     /* a disk that may be overwritten, or NULL */
	bool sigbus_allowed;  /* the store is being failed from outside */
	bool swapless;	      /* self-test of the tests: nothing swaps, only contents are judged */
};

struct torture_test {
	const char *name;
	const char *text;
	int (*run)(const struct torture_context *context); /* 0, or what torture_fail() gave */
	bool only_by_name;				   /* not part of `all` */
};

#define TORTURE_TEST_ENTRY(identifier, test_name, test_text, by_name)                              \
	static int identifier(const struct torture_context *context);                              \
	static const struct torture_test identifier##_entry __attribute__((                        \
		section("torture_tests"), used, aligned(sizeof(void *)))) = {                      \
		.name = test_name, .text = test_text, .run = identifier, .only_by_name = by_name}; \
	static int identifier(const struct torture_context *context)

#define TORTURE_TEST(identifier, name, text) TORTURE_TEST_ENTRY(identifier, name, text, false)
#define TORTURE_TEST_BY_NAME(identifier, name, text) \
	TORTURE_TEST_ENTRY(identifier, name, text, true)

/* Say what is wrong; returns 1. */
int torture_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What the test needs is not there: visible in the report, not a success. Returns TORTURE_SKIP. */
int torture_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TORTURE_SKIP 77

#define CHECK(condition, ...)                             \
	do {                                              \
		if (!(condition))                         \
			return torture_fail(__VA_ARGS__); \
	} while (0)
/* Every page of the region is as it should be. */
#define CHECK_REGION(region, when)                                                 \
	do {                                                                       \
		size_t bad_ = region_check(region);                                \
		if (bad_)                                                          \
			return torture_fail("%zu of %zu pages are wrong %s", bad_, \
					    (region)->pages, when);                \
	} while (0)

/*
 * A region that was swapped out whole: its first third is left so, its second third then read, its
 * last third then partly rewritten. Fails when the kernel did not swap it.
 */
int torture_prepare(const struct torture_context *context, struct region *region);
/* Swap an existing region out and touch it in that way, without asking that all of it went. */
void torture_disturb(struct region *region);

/* Ask this test's cgroup to give back memory: reaches shared and merged pages, too. */
int torture_reclaim(size_t bytes);
/* Set memory.max of this test's cgroup; 0: none. */
int torture_limit(size_t bytes);

/* Write text to a file of the kernel's. 0 or a negative errno. */
int torture_put(const char *path, const char *text);
/* A number from such a file, or -1; from "name: number ..." lines with `name`, else its first. */
long long torture_get(const char *path, const char *name);

/* Wait for a child: its exit status, or 128 + signal. */
int torture_wait(pid_t pid);
/* A child that runs work(argument) and exits with what it returned. */
pid_t torture_spawn(int (*work)(void *argument), void *argument);
/* A child that sleeps in a page fault (userfaultfd) until it is killed; -1, with words, without
 * one. */
pid_t torture_sleep_in_fault(void);

/* Run access(page) and say which signal stopped it: 0, SIGSEGV or SIGBUS. */
int torture_read(const volatile void *address);
int torture_write(volatile void *address);

#endif
