/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `symvm top` and `symvm report` show: rates from two samples of a VM's answers. The answers
 * are trusted as little as the guest: any key may be missing, of another type, or smaller than
 * before. All functions: any thread, no input or output.
 */
#ifndef SYMVM_CLI_TOP_MODEL_H
#define SYMVM_CLI_TOP_MODEL_H

#include <jansson.h>
#include <stddef.h>

enum {
	TOP_TASKS_SEEN = 32768, /* of one answer; further ones are not counted */
	TOP_TASKS_MAX = 1000,	/* in one view */
	TOP_VCPUS_MAX = 1024,	/* the same */
	TOP_DEVICES_MAX = 64,
	TOP_REASONS_MAX = 64,
};

enum top_order {
	TOP_BY_CPU,
	TOP_BY_MEMORY,
};

/*
 * One view: the state in @after, and the rates since @before (borrowed; NULL, or a sample of
 * another process of that name: no rates). A sample has "ns" (CLOCK_MONOTONIC), and the answers
 * "info", "memory", "memory_use" and "ps" of the control commands, each of which may be missing;
 * "errors" has the words for those. The view has at most @tasks tasks (at most TOP_TASKS_MAX), the
 * highest in @order first. A rate that is not known is null: without @before, or if its counter
 * went backwards. docs/reference/symvm.1 lists the keys. New reference; NULL without memory.
 */
json_t *top_view(json_t *before, json_t *after, enum top_order order, size_t tasks);

#endif
