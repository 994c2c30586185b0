/* SPDX-License-Identifier: BSD-2-Clause */
/* Notices that a running VM's state files were removed, and logs that once. */
#ifndef SYMVM_CONTROL_STATE_WATCH_H
#define SYMVM_CONTROL_STATE_WATCH_H

#include "control/state_dir.h"

struct event_loop;
struct log;
struct state_watch;

/*
 * Checks the files of @name every 10 s on @loop, the main loop. Logs at once if they will be
 * removed at the user's logout. The socket must exist. @name and @log must outlive it. Main thread.
 * -errno with words.
 */
int state_watch_create(struct event_loop *loop, struct state_name *name, struct log *log,
		       struct state_watch **watch, struct error *err);
/* Ends the checks and frees. NULL is allowed. Main thread, when the loop no longer runs. */
void state_watch_destroy(struct state_watch *watch);

#endif
