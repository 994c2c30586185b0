/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal of a console on standard input and output, under a shell with job control. It is raw
 * while the VM is the job in the foreground, and as it was before in each other case: at every
 * end, while the VM is stopped by SIGTSTP, and while it runs in the background, where the terminal
 * is the shell's.
 */
#ifndef SYMVM_DEVICES_TERMINAL_H
#define SYMVM_DEVICES_TERMINAL_H

#include <stdbool.h>

struct event_loop;
struct terminal;
struct terminal_watch;

/*
 * Takes the terminal @fd (not owned), raw if the VM is in the foreground. The object is shared with
 * the processes that are forked afterwards, so that one of them can put the terminal right. NULL
 * where
 * @fd is no terminal or memory is out.
 */
struct terminal *terminal_open(int fd);
/* Restores it and frees the object. NULL is fine. */
void terminal_close(struct terminal *terminal);

/* Puts the terminal right, if it is raw by our doing. Any process that shares @terminal. */
void terminal_restore(struct terminal *terminal);

/* Whether the VM may read: false while another job has the terminal. */
bool terminal_is_foreground(const struct terminal *terminal);

/*
 * Follows what the shell does, on @loop: takes SIGTSTP (restores, then stops the process) and
 * SIGCONT, and in the background looks twice a second whether the VM is in the foreground again, as
 * a shell does not tell. @changed is called with it on the loop's thread. Main thread, before other
 * threads: blocks these signals, and SIGTTIN and SIGTTOU, which would stop the VM. NULL
 * where memory or descriptors are out.
 */
struct terminal_watch *terminal_watch_create(struct terminal *terminal, struct event_loop *loop,
					     void (*changed)(void *opaque, bool foreground),
					     void *opaque);
/* A read failed with EIO. Returns true where that is because the VM is in the background: @changed
 * is called when it no longer is. Loop's thread. */
bool terminal_watch_lost(struct terminal_watch *watch);
/* NULL is fine. */
void terminal_watch_destroy(struct terminal_watch *watch);

#endif
