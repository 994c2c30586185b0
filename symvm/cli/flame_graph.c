// SPDX-License-Identifier: BSD-2-Clause
/*
 * Stacks are merged into a tree: a node for each frame with a different path to the root. Names
 * come from a guest, so each passes text_escape(), which leaves no control characters, and then
 * loses what XML would take for markup.
 */
#include "cli/flame_graph.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/text.h"

#define WIDTH	   1200.0
#define MARGIN	   10.0
#define ROW	   18.0 /* height of a box, its gap included */
#define HEAD	   36.0 /* above the boxes: the title */
#define CHARACTER  7.3	/* width of one, of the font below */
#define NAME_MAX_B 1024u
#define NARROWEST  0.3 /* a box below this width is left out, with all above it */
#define TEXT_LEAST 3u  /* a box for fewer characters has no text */

struct node {
	char *name;
	uint64_t count; /* of the stacks through it */
	struct node *children, *next;
};

struct flame_graph {
	struct node root;
	struct node *path[FLAME_DEPTH_MAX + 1]; /* of the stack that is under way */
	unsigned depth, deepest;
	bool failed; /* memory was exhausted */
};

struct flame_graph *flame_graph_create(void)
{
	struct flame_graph *graph = calloc(1, sizeof(*graph));

	if (graph)
		graph->path[0] = &graph->root;
	return graph;
}

/* Depth is limited, so recursion is. */
static void children_free(struct node *node)
{
	while (node->children) {
		struct node *child = node->children;

		node->children = child->next;
		children_free(child);
		free(child->name);
		free(child);
	}
}

void flame_graph_destroy(struct flame_graph *graph)
{
	if (graph)
		children_free(&graph->root);
	free(graph);
}

void flame_graph_begin(struct flame_graph *graph)
{
	graph->depth = 0;
}

static struct node *child_make(struct node *parent, const char *name)
{
	struct node *child = calloc(1, sizeof(*child));

	if (!child)
		return NULL;
	child->name = strndup(name, NAME_MAX_B);
	if (!child->name) {
		free(child);
		return NULL;
	}
	child->next = parent->children;
	parent->children = child;
	return child;
}

void flame_graph_frame(struct flame_graph *graph, const char *name)
{
	struct node *parent = graph->path[graph->depth], *child = parent->children;

	if (graph->depth == FLAME_DEPTH_MAX)
		return;
	while (child && strncmp(child->name, name, NAME_MAX_B) != 0)
		child = child->next;
	if (!child)
		child = child_make(parent, name);
	if (!child) {
		graph->failed = true;
		return;
	}
	graph->path[++graph->depth] = child;
	if (graph->depth > graph->deepest)
		graph->deepest = graph->depth;
}

void flame_graph_end(struct flame_graph *graph, uint64_t count)
{
	for (unsigned i = 0; i <= graph->depth; i++)
		graph->path[i]->count += count;
}

/* Writes @text, at most @columns of it, as text of XML. */
static void put_text(FILE *out, const char *text, size_t columns)
{
	char safe[NAME_MAX_B * 4 + 16];

	text_escape(safe, sizeof(safe), text, strnlen(text, NAME_MAX_B), columns < 4 ? 4 : columns,
		    0);
	for (const char *c = safe; *c; c++) {
		switch (*c) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*c, out);
		}
	}
}

/* A warm colour that depends on the name alone, so that one function has one colour everywhere. */
static unsigned colour_of(const char *name)
{
	unsigned hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return (205 + hash % 50) << 16 | (100 + (hash >> 8) % 110) << 8 | (60 + (hash >> 16) % 50);
}

/* One box, its lower left corner at @x on level @level from the bottom. */
static void put_box(FILE *out, const struct flame_graph *graph, const struct node *node,
		    unsigned level, double x, double width)
{
	double y = HEAD + ROW * (graph->deepest - level);
	double share = 100.0 * (double)node->count / (double)graph->root.count;
	const char *name = node->name ? node->name : "all";
	size_t room = (size_t)(width / CHARACTER);

	fprintf(out, "<g><title>");
	put_text(out, name, NAME_MAX_B);
	fprintf(out,
		": %llu (%.2f %%)</title><rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" "
		"height=\"%.1f\" fill=\"#%06x\" rx=\"1\"/>",
		(unsigned long long)node->count, share, x, y, width, ROW - 1, colour_of(name));
	if (room > TEXT_LEAST) {
		fprintf(out, "<text x=\"%.2f\" y=\"%.1f\">", x + 3, y + ROW - 5);
		put_text(out, name, room - 1);
		fprintf(out, "</text>");
	}
	fprintf(out, "</g>\n");
}

static void put_node(FILE *out, const struct flame_graph *graph, const struct node *node,
		     unsigned level, double x)
{
	double whole = (double)graph->root.count;
	double width = (WIDTH - 2 * MARGIN) * (double)node->count / whole;

	if (width < NARROWEST)
		return;
	put_box(out, graph, node, level, x, width);
	for (const struct node *child = node->children; child; child = child->next) {
		put_node(out, graph, child, level + 1, x);
		x += (WIDTH - 2 * MARGIN) * (double)child->count / whole;
	}
}

static void put_graph(FILE *out, const struct flame_graph *graph, const char *title)
{
	double height = HEAD + ROW * (graph->deepest + 1) + MARGIN;

	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"0 0 %.0f %.0f\" font-family=\"monospace\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fffdf5\"/>\n"
		"<text x=\"%.0f\" y=\"22\" font-size=\"15\">",
		WIDTH, height, WIDTH, height, MARGIN);
	put_text(out, title, (size_t)((WIDTH - 2 * MARGIN) / (CHARACTER * 1.25)));
	fprintf(out, "</text>\n");
	if (graph->root.count)
		put_node(out, graph, &graph->root, 0, MARGIN);
	fprintf(out, "</svg>\n");
}

int flame_graph_write(const struct flame_graph *graph, const char *path, const char *title,
		      struct error *err)
{
	FILE *out;
	int status;

	if (graph->failed)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	out = fopen(path, "we");
	if (!out)
		return error_set_errno(err, -errno, "%s", path);
	put_graph(out, graph, title);
	status = ferror(out) ? -EIO : 0;
	if (fclose(out) != 0 && status == 0)
		status = -errno;
	return status < 0 ? error_set_errno(err, status, "%s", path) : 0;
}
