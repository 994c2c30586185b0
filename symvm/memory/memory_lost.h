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
 * From now on a page of @memory that cannot be had is replaced by an empty one in the thread that
 * touched it, memory_lost() is true, and @report(@opaque) is called once on @loop's thread: it
 * should end the VM, whose memory is not whole any more. One memory a process at a time. Main
 * thread, before any vCPU runs. -EBUSY, -errno.
 */
int memory_lost_watch(struct guest_memory *memory, struct event_loop *loop,
		      void (*report)(void *opaque), void *opaque, struct error *err);
/* Ends that, if it was begun. Before memory_destroy(); no other thread uses @memory. */
void memory_lost_forget(struct guest_memory *memory);

/* Whether a page was lost. Any thread. */
bool memory_lost(const struct guest_memory *memory);

/* Says so in @err, in one line; -ENOMEM. Any thread. */
int memory_lost_explain(struct error *err);

#endif
