/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flame graph as one SVG file without scripts and without other resources. Each frame is a box:
 * as wide as its share of the counts, above the frame that called it, with its full name and count
 * as a tooltip. One thread.
 */
#ifndef SYMVM_CLI_FLAME_GRAPH_H
#define SYMVM_CLI_FLAME_GRAPH_H

#include <stdint.h>

#include "util/error.h"

#define FLAME_DEPTH_MAX 300u /* frames of a stack; those beyond, at the leaf, are left out */

struct flame_graph;

/* An empty graph, or NULL if there is no memory. */
struct flame_graph *flame_graph_create(void);
/* Frees @graph. NULL is allowed. */
void flame_graph_destroy(struct flame_graph *graph);

/* A stack: the frames follow, from the root on, then flame_graph_end(). */
void flame_graph_begin(struct flame_graph *graph);
/* The next frame. @name is any text, raw; it is copied. */
void flame_graph_frame(struct flame_graph *graph, const char *name);
/* Ends the stack, and counts it @count times. */
void flame_graph_end(struct flame_graph *graph, uint64_t count);

/*
 * Writes the graph with @title, any text, to @path, which is replaced. -ENOMEM if memory was
 * exhausted, or the errno of the file; with words.
 */
int flame_graph_write(const struct flame_graph *graph, const char *path, const char *title,
		      struct error *err);

#endif
