// SPDX-License-Identifier: BSD-2-Clause
/* The control command `dmesg`: the messages of the guest's kernel log, without its user space. */
#include "libguestview/dmesg.h"

#include "control/control.h"
#include "services/guest.h"

static json_t *lines_json(const struct guest_dmesg *log)
{
	json_t *lines = json_array();

	for (size_t i = 0; i < log->count; i++)
		json_array_append_new(lines,
				      json_pack("{s:i, s:i, s:o}", "level", log->lines[i].level,
						"facility", log->lines[i].facility, "text",
						control_text(guest_dmesg_text(log, i))));
	return lines;
}

static int handle_dmesg(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
			struct error *err)
{
	static const char *const known[] = {"from", NULL};
	const struct guest_limit until = guest_limit_of(limit);
	const struct guest guest = guest_of_vm(vm);
	struct guest_error words;
	struct guest_dmesg log;
	json_int_t from = 0;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "from", 0, INT64_MAX, &from, err);
	if (status < 0)
		return status;
	status = guest_dmesg(&guest, &until, (uint64_t)from, &log, &words);
	if (status < 0)
		return guest_error_pass(err, status, &words);
	*result = json_pack("{s:o, s:I, s:I, s:b}", "lines", lines_json(&log), "next",
			    (json_int_t)(log.next & INT64_MAX), "lost",
			    (json_int_t)(log.lost & INT64_MAX), "complete", log.complete);
	guest_dmesg_free(&log);
	return 0;
}

static const struct control_command dmesg_command = {
	.name = "dmesg",
	.help = "the guest's kernel log; from (integer): the `next` of an earlier answer",
	.is_query = true,
	.handle_until = handle_dmesg,
};
CONTROL_COMMAND(dmesg_command);
