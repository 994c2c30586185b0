// SPDX-License-Identifier: BSD-2-Clause
/*
 * Rows are found by a hash of their key, with open addressing. Stacks are kept once: they are long,
 * and most rows of one place share one. They are texts, one after the other, in a fixed buffer,
 * found by a second table.
 */
#include "services/exit_tally.h"

#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

#define SLOTS 2048u /* of each table: a power of two, more than twice as many as can be filled */
#define NONE  UINT32_MAX

_Static_assert(SLOTS >= 2 * EXIT_TALLY_ROWS, "free slots remain");

/* What makes a row different from others. Zeroed before it is filled: it is compared by bytes. */
struct row_key {
	struct exit_place place;
	bool known;
	uint32_t pid, tgid;
	uint64_t start_ns, user_rip;
	uint32_t stack; /* offset in the buffer, or NONE */
	char comm[17], cgroup[97];
};

struct row {
	struct exit_row shown;
	struct row_key key;
};

struct exit_tally {
	unsigned count;
	uint64_t other;
	uint32_t stack_count, stack_bytes;
	uint16_t slots[SLOTS];	     /* row + 1; 0: free */
	uint32_t stack_slots[SLOTS]; /* offset + 1; 0: free */
	struct row rows[EXIT_TALLY_ROWS];
	char stacks[EXIT_TALLY_STACKS];
};

/* The first slot to look at. */
static uint32_t slot_of(const void *data, size_t length)
{
	uint64_t value = hash_bytes(data, length);

	return (uint32_t)(value ^ value >> 32) % SLOTS;
}

struct exit_tally *exit_tally_create(void)
{
	return calloc(1, sizeof(struct exit_tally));
}

void exit_tally_destroy(struct exit_tally *tally)
{
	free(tally);
}

/* The frames as one text. A frame has no newline, because the decoder splits at them. */
static size_t stack_text(const struct guest_stack *stack, char *out, size_t size)
{
	size_t length = 0;

	for (unsigned i = 0; i < stack->count; i++) {
		size_t frame = strlen(guest_stack_frame(stack, i));

		if (frame + 2 > size - length)
			break;
		memcpy(out + length, guest_stack_frame(stack, i), frame);
		out[length + frame] = '\n';
		length += frame + 1;
	}
	out[length] = '\0';
	return length;
}

/* Keeps @text of @length bytes. False: it does not fit. */
static bool stack_keep(struct exit_tally *tally, const char *text, size_t length, uint32_t *offset)
{
	uint32_t slot = slot_of(text, length);

	for (; tally->stack_slots[slot]; slot = (slot + 1) % SLOTS) {
		*offset = tally->stack_slots[slot] - 1;
		if (strcmp(tally->stacks + *offset, text) == 0)
			return true;
	}
	if (length + 1 > EXIT_TALLY_STACKS - tally->stack_bytes || tally->stack_count >= SLOTS / 2)
		return false;
	*offset = tally->stack_bytes;
	memcpy(tally->stacks + *offset, text, length + 1);
	tally->stack_slots[slot] = *offset + 1;
	tally->stack_bytes += (uint32_t)length + 1;
	tally->stack_count++;
	return true;
}

/* The key of an exit. False if its stack does not fit. */
static bool key_make(struct exit_tally *tally, const struct exit_place *place,
		     const struct guest_who *who, struct row_key *key)
{
	char text[SYM_MESSAGE_SIZE + 2];
	size_t length;

	memset(key, 0, sizeof(*key));
	key->place.kind = place->kind;
	key->place.write = place->write;
	key->place.address = place->address;
	memcpy(key->place.doorbell.device, place->doorbell.device, DOORBELL_NAME_MAX);
	key->place.doorbell.queue = place->doorbell.queue;
	key->stack = NONE;
	if (!who)
		return true;
	key->known = true;
	key->pid = who->task.pid;
	key->tgid = who->task.tgid;
	key->start_ns = who->task.start_ns;
	key->user_rip = who->task.user_rip;
	memcpy(key->comm, who->task.comm, strnlen(who->task.comm, sizeof(key->comm) - 1));
	memcpy(key->cgroup, who->task.cgroup, strnlen(who->task.cgroup, sizeof(key->cgroup) - 1));
	if (!who->has_stack || who->stack.count == 0)
		return true;
	length = stack_text(&who->stack, text, sizeof(text));
	return stack_keep(tally, text, length, &key->stack);
}

/* A new row with @key. The table has room. */
static struct row *row_fill(struct exit_tally *tally, const struct row_key *key,
			    const struct guest_who *who)
{
	struct row *row = &tally->rows[tally->count++];

	memcpy(&row->key, key, sizeof(*key));
	row->shown.place = key->place;
	row->shown.known = key->known;
	if (who)
		row->shown.task = who->task;
	if (key->stack != NONE)
		row->shown.stack = tally->stacks + key->stack;
	return row;
}

static struct row *row_find(struct exit_tally *tally, const struct row_key *key,
			    const struct guest_who *who)
{
	uint32_t slot = slot_of(key, sizeof(*key));

	for (; tally->slots[slot]; slot = (slot + 1) % SLOTS)
		if (memcmp(&tally->rows[tally->slots[slot] - 1].key, key, sizeof(*key)) == 0)
			return &tally->rows[tally->slots[slot] - 1];
	if (tally->count == EXIT_TALLY_ROWS)
		return NULL;
	tally->slots[slot] = (uint16_t)(tally->count + 1);
	return row_fill(tally, key, who);
}

void exit_tally_add(struct exit_tally *tally, const struct exit_place *place,
		    const struct guest_who *who)
{
	struct row_key key;
	struct row *row = key_make(tally, place, who, &key) ? row_find(tally, &key, who) : NULL;

	if (row)
		row->shown.count++;
	else
		tally->other++;
}

static int compare_rows(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	return a->shown.count < b->shown.count ? 1 : a->shown.count > b->shown.count ? -1 : 0;
}

void exit_tally_sort(struct exit_tally *tally)
{
	qsort(tally->rows, tally->count, sizeof(tally->rows[0]), compare_rows);
}

unsigned exit_tally_count(const struct exit_tally *tally)
{
	return tally->count;
}

const struct exit_row *exit_tally_row(const struct exit_tally *tally, unsigned index)
{
	return &tally->rows[index].shown;
}

uint64_t exit_tally_other(const struct exit_tally *tally)
{
	return tally->other;
}
