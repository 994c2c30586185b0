/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes of test_jail.c, in the real jail and outside of it. */
#ifndef SYMVM_TEST_JAIL_CHILD_H
#define SYMVM_TEST_JAIL_CHILD_H

#include <stdbool.h>

#include "escape.h"

#define PLAIN_USER 1000u
#define NO_JAIL	   101 /* exit status: a sanitizer's build */
#define NOT_MADE   100 /* exit status: the jail could not be made */

bool is_root(void);

/* --- in a child --- */
/* Becomes PLAIN_USER, if we are root. */
void become_plain(void);
/* Another process of this user, which lives until the test ends. */
pid_t make_victim(void);
/* Sockets of this process alone: a deed may change them. */
void open_sockets(void);
/* Closes the jail of the process. 0, or NO_JAIL or NOT_MADE. */
int enter_process(enum jail_mode mode, unsigned features, struct jail **jail);
/* Closes the jail of the process and of a thread, then runs @act and returns its result. */
int enter_and_act(enum jail_mode mode, enum jail_thread kind, unsigned features, deed act);
/* Runs @act in a guard: its result, or 0 if the jail killed the guard. */
int run_in_guard(deed act);

/* From now on system call @call fails with @error, as on a host without it. */
void lack(int call, int error);

/* --- in the test --- */
/* Runs @act in a child, in a jail or as it is; returns waitpid()'s status. Skips the test where a
 * sanitizer's build has no jail. */
int in_jail(enum jail_mode mode, enum jail_thread kind, unsigned features, bool plain, deed act);
int in_child(deed act);
void expect_exit(int status, int code);
void expect_killed(int status);

#endif
