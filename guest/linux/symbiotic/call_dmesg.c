// SPDX-License-Identifier: GPL-2.0-only
/*
 * SYM_CALL_DMESG: the kernel's log. Its ring of records takes no lock, so that it can be read where
 * an NMI may read it; kmsg_dump's functions are the exported way to it. A log that was cleared
 * (dmesg --clear) begins at the clearing.
 */
#include <linux/kernel.h>
#include <linux/kmsg_dump.h>
#include <linux/module.h>
#include "calls.h"

#define SYM_DMESG_TEXT (SYM_MESSAGE_SIZE - sizeof(struct sym_dmesg))

/*
 * Appends the next record with all its lines, if there is one and it fits. Returns its length. A
 * record is cut only if it alone is longer than a message.
 */
static size_t sym_dmesg_record(struct kmsg_dump_iter *iter, char *text, size_t room)
{
	struct kmsg_dump_iter probe = *iter;
	size_t length = 0;

	if (!kmsg_dump_get_line(&probe, true, NULL, 0, &length))
		return 0;
	if (length > room && room < SYM_DMESG_TEXT)
		return 0;
	if (!kmsg_dump_get_line(iter, true, text, room, &length))
		return 0;
	return min(length, room);
}

static s64 sym_dmesg(const struct symbiotic_request *request)
{
	u64 wanted = request->args[0];
	struct kmsg_dump_iter iter = { .cur_seq = wanted, .next_seq = U64_MAX };
	struct sym_dmesg head = { .next = wanted };
	char *text = request->message;
	size_t used = 0, length;

	if (!text)
		return -EOPNOTSUPP;
	text += sizeof(head);
	while ((length = sym_dmesg_record(&iter, text + used, SYM_DMESG_TEXT - used))) {
		if (!used && wanted && iter.cur_seq - 1 > wanted)
			head.lost = iter.cur_seq - 1 - wanted;
		used += length;
		head.next = iter.cur_seq;
	}
	memcpy(request->message, &head, sizeof(head));
	return sizeof(head) + used;
}

SYM_CALLS(dmesg) = {
	{
		.number = SYM_CALL_DMESG,
		.name = "dmesg",
		.owner = THIS_MODULE,
		.handler = sym_dmesg,
	},
	{},
};
