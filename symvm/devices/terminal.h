/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal of a console on standard input and output, under a shell with job control. It is raw
 * while the VM is the job in the foreground. In every other case it has its former mode: at every
 * end, while the VM is stopped by SIGTSTP, and while the VM runs in the background, when the
 * terminal belongs to the shell.
 */
#ifndef SYMVM_DEVICES_TERMINAL_H
#define SYMVM_DEVICES_TERMINAL_H

#include <stdbool.h>

struct event_loop;
struct terminal;
struct terminal_watch;

/*
 * Takes the terminal @fd (not owned), and makes it raw if the VM is in the foreground. Processes
 * that are forked afterwards share the object, so that one of them can restore the terminal. NULL
 * if @fd is not a terminal or memory is exhausted. Main thread.
 */
struct terminal *terminal_open(int fd);
/* Restores the terminal and frees the object. NULL is allowed. Main thread. */
void terminal_close(struct terminal *terminal);

/* Restores the terminal if we made it raw. Any process that shares @terminal. */
void terminal_restore(struct terminal *terminal);

/* Whether the VM may read: false while another job has the terminal. */
bool terminal_is_foreground(const struct terminal *terminal);

/*
 * Follows the shell's job control on @loop. It takes SIGTSTP (restores the terminal, then stops the
 * process) and SIGCONT. In the background it looks twice a second whether the VM is in the
 * foreground again, because a shell does not report that. @changed is then called on the loop's
 * thread. It blocks these signals, and also SIGTTIN and SIGTTOU, which would stop the VM. Main
 * thread, before other threads. NULL if memory or descriptors are exhausted.
 */
struct terminal_watch *terminal_watch_create(struct terminal *terminal, struct event_loop *loop,
					     void (*changed)(void *opaque, bool foreground),
					     void *opaque);
/*
 * A read failed with EIO. Returns true if the cause is that the VM is in the background. @changed
 * is called when it is in the foreground again. Loop's thread.
 */
bool terminal_watch_lost(struct terminal_watch *watch);
/* Stops following. NULL is allowed. Main thread; the loop no longer runs. */
void terminal_watch_destroy(struct terminal_watch *watch);

#endif
