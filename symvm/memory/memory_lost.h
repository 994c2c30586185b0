/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory that the host promised and then cannot give: a full tmpfs, vm.overcommit_memory=2,
 * a drained pool of huge pages, a memory error of the hardware. The kernel says so by SIGBUS to
 * the thread that touches the page. That must end this VM in order, not kill the process.
 */
#ifndef SYMVM_MEMORY_LOST_H
#define SYMVM_MEMORY_LOST_H

#include <stdbool.h>

#include "memory/memory.h"
#include "util/error.h"

struct event_loop;

/*
 * From now on, if the host cannot give a page of @memory, the thread that touched it gets an empty
 * page instead, memory_lost() is true, and @report(@opaque) is called once on @loop's thread.
 * @report should end the VM, whose memory is not complete any more. Only one memory per process at
 * a time. Main thread, before any vCPU runs. -EBUSY, -errno.
 */
int memory_lost_watch(struct guest_memory *memory, struct event_loop *loop,
		      void (*report)(void *opaque), void *opaque, struct error *err);
/* Ends the watch, if there is one. Before memory_destroy(); no other thread uses @memory. */
void memory_lost_forget(struct guest_memory *memory);

/* Whether a page was lost. Any thread. */
bool memory_lost(const struct guest_memory *memory);

/* Says in @err, in one line, that a page was lost; -ENOMEM. Any thread. */
int memory_lost_explain(struct error *err);

#endif
