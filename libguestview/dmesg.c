// SPDX-License-Identifier: BSD-2-Clause
#include "dmesg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void guest_dmesg_free(struct guest_dmesg *log)
{
	free(log->lines);
	free(log->text);
	*log = (struct guest_dmesg){0};
}

/* Room for @size bytes of text, in which there may be as many lines. */
static int dmesg_reserve(struct guest_dmesg *log, size_t size)
{
	size_t lines;
	void *grown;

	if (log->size + size + 1 > GUEST_DMESG_TEXT)
		return -ENOSPC;
	grown = realloc(log->text, log->size + size + 1);
	if (!grown)
		return -ENOMEM;
	log->text = grown;
	/* The shortest line is its newline. */
	lines = log->count + size + 1;
	if (lines > GUEST_DMESG_LINES)
		lines = GUEST_DMESG_LINES;
	if (lines <= log->lines_room)
		return 0;
	grown = reallocarray(log->lines, lines, sizeof(*log->lines));
	if (!grown)
		return -ENOMEM;
	log->lines = grown;
	log->lines_room = lines;
	return 0;
}

/* Skips "<N>" at @line and stores what N says. A line without it has the kernel's default. */
static const char *dmesg_priority(const char *line, const char *end, struct guest_dmesg_line *out)
{
	unsigned priority = 0;
	const char *at = line;

	out->level = 4;
	out->facility = 0;
	if (at == end || *at++ != '<')
		return line;
	for (; at < end && at <= line + 4 && *at >= '0' && *at <= '9'; at++)
		priority = priority * 10 + (unsigned)(*at - '0');
	if (at == end || *at != '>' || at == line + 1 || priority > 0x3ff)
		return line;
	out->level = priority & 7;
	out->facility = (uint8_t)(priority >> 3);
	return at + 1;
}

static void dmesg_add_line(struct guest_dmesg *log, const char *line, const char *end)
{
	struct guest_dmesg_line *out = &log->lines[log->count++];
	const char *text = dmesg_priority(line, end, out);
	size_t length = strnlen(text, (size_t)(end - text));

	out->start = (uint32_t)log->size;
	memcpy(log->text + log->size, text, length);
	log->size += length;
	log->text[log->size++] = '\0';
}

static size_t count_lines(const char *text, size_t length)
{
	size_t count = length && text[length - 1] != '\n';

	for (size_t i = 0; i < length; i++)
		count += text[i] == '\n';
	return count;
}

int guest_dmesg_decode(const void *message, size_t length, uint64_t from, struct guest_dmesg *log)
{
	struct sym_dmesg head;
	const char *text = (const char *)message + sizeof(head), *end;
	size_t size = length - sizeof(head);
	int status;

	if (length < sizeof(head) || length > SYM_MESSAGE_SIZE)
		return -EPROTO;
	memcpy(&head, message, sizeof(head));
	if (head.next < from || (size && head.next == from))
		return -EPROTO;
	if (log->count + count_lines(text, size) > GUEST_DMESG_LINES)
		return -ENOSPC;
	status = dmesg_reserve(log, size);
	if (status < 0)
		return status;
	for (end = text + size; text < end;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;

		dmesg_add_line(log, text, line_end);
		text = newline ? newline + 1 : end;
	}
	log->next = head.next;
	log->lost = log->lost + head.lost < head.lost ? UINT64_MAX : log->lost + head.lost;
	return (int)size;
}

/* One answer, from a vCPU that can be asked: those that cannot are left out from then on. */
static int dmesg_ask(const struct guest *guest, const struct guest_limit *limit, unsigned *vcpu,
		     uint64_t from, uint8_t message[SYM_MESSAGE_SIZE],
		     struct sym_call_result *result, struct guest_error *err)
{
	const struct sym_call_request request = {
		.number = SYM_CALL_DMESG,
		.args = {from},
		.message = message,
		.message_size = SYM_MESSAGE_SIZE,
	};
	int status = guest_call_any(guest, vcpu, limit, &request, result, err);

	if (status < 0)
		return status;
	if (result->value == -ENOSYS)
		return guest_error_set(err, -EOPNOTSUPP,
				       "the guest's module is too old to give its kernel log");
	if (result->value < 0)
		return guest_error_set(err, -EIO, "the guest could not give its kernel log (%lld)",
				       (long long)result->value);
	return 0;
}

int guest_dmesg(const struct guest *guest, const struct guest_limit *limit, uint64_t from,
		struct guest_dmesg *log, struct guest_error *err)
{
	uint8_t message[SYM_MESSAGE_SIZE];
	struct sym_call_result result;
	unsigned vcpu = 0;
	int status;

	*log = (struct guest_dmesg){.next = from};
	do {
		status = dmesg_ask(guest, limit, &vcpu, log->next, message, &result, err);
		if (status < 0)
			break;
		status = guest_dmesg_decode(message, result.message_length, log->next, log);
		if (status == -ENOSPC)
			return 0;
		if (status < 0)
			guest_error_set(err, status, "%s",
					status == -ENOMEM ? "out of memory for the kernel log"
							  : "the guest's kernel log is malformed");
	} while (status > 0);
	log->complete = status == 0;
	if (status < 0)
		guest_dmesg_free(log);
	return status;
}
