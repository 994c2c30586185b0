// SPDX-License-Identifier: BSD-2-Clause
#include "cli/ps_tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define NONE SIZE_MAX

struct node {
	json_t *task;
	size_t parent, first, next; /* indexes of nodes: its parent, first child, next sibling */
	bool done;
};

struct number {
	json_int_t pid;
	size_t index;
};

struct tree {
	struct node *nodes;
	struct number *numbers; /* sorted */
	size_t count;
	json_t *out;
};

static json_int_t number_of(json_t *task, const char *key)
{
	return json_integer_value(json_object_get(task, key));
}

static int compare(const void *left, const void *right)
{
	const struct number *a = left, *b = right;

	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* The first task with this number. */
static size_t find(const struct tree *tree, json_int_t pid)
{
	size_t low = 0, high = tree->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tree->numbers[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < tree->count && tree->numbers[low].pid == pid ? tree->numbers[low].index : NONE;
}

static size_t parent_of(const struct tree *tree, size_t index)
{
	json_t *task = tree->nodes[index].task;
	json_int_t pid = number_of(task, "pid"), tgid = number_of(task, "tgid");
	size_t parent = tgid && tgid != pid ? find(tree, tgid) : NONE;

	if (parent == NONE && json_is_integer(json_object_get(task, "ppid")))
		parent = find(tree, number_of(task, "ppid"));
	return parent == index ? NONE : parent;
}

/* Backwards, so that each list of children keeps the order. */
static void link_children(struct tree *tree)
{
	for (size_t i = tree->count; i-- > 0;) {
		size_t parent = parent_of(tree, i);

		tree->nodes[i].parent = parent;
		if (parent == NONE)
			continue;
		tree->nodes[i].next = tree->nodes[parent].first;
		tree->nodes[parent].first = i;
	}
}

static size_t not_done(const struct tree *tree, size_t index)
{
	while (index != NONE && tree->nodes[index].done)
		index = tree->nodes[index].next;
	return index;
}

static void emit(struct tree *tree, size_t index, json_int_t depth)
{
	struct node *node = &tree->nodes[index];

	node->done = true;
	if (json_is_object(node->task))
		json_object_set_new(node->task, "depth", json_integer(depth));
	json_array_append(tree->out, node->task);
}

/* Without recursion: a chain of parents may be as long as the list. */
static void emit_from(struct tree *tree, size_t root)
{
	size_t at = root, next;
	json_int_t depth = 0;

	emit(tree, root, 0);
	for (;;) {
		next = not_done(tree, tree->nodes[at].first);
		if (next != NONE) {
			depth++;
		} else {
			while (at != root && next == NONE) {
				next = not_done(tree, tree->nodes[at].next);
				if (next != NONE)
					break;
				at = tree->nodes[at].parent;
				depth--;
			}
			if (next == NONE)
				return;
		}
		emit(tree, next, depth);
		at = next;
	}
}

static void emit_all(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->nodes[i].parent == NONE)
			emit_from(tree, i);
	/* What is left hangs on loops. */
	for (size_t i = 0; i < tree->count; i++)
		if (!tree->nodes[i].done)
			emit_from(tree, i);
}

json_t *ps_tree(json_t *tasks)
{
	size_t count = json_array_size(tasks);
	struct tree tree = {
		.nodes = calloc(count + 1, sizeof(*tree.nodes)),
		.numbers = calloc(count + 1, sizeof(*tree.numbers)),
		.count = count,
		.out = json_array(),
	};

	if (!tree.nodes || !tree.numbers || !tree.out) {
		json_decref(tree.out);
		tree.out = NULL;
	} else {
		for (size_t i = 0; i < count; i++) {
			json_t *task = json_array_get(tasks, i);

			tree.nodes[i] = (struct node){task, NONE, NONE, NONE, false};
			tree.numbers[i] = (struct number){number_of(task, "pid"), i};
		}
		qsort(tree.numbers, count, sizeof(*tree.numbers), compare);
		link_children(&tree);
		emit_all(&tree);
	}
	free(tree.nodes);
	free(tree.numbers);
	return tree.out;
}
