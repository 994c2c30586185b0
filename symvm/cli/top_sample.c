// SPDX-License-Identifier: BSD-2-Clause
/* Asks a VM all that a view shows. */
#include "cli/top_sample.h"

#include "cli/client.h"
#include "util/clock.h"

/* A guest that cannot answer hides nothing of what the VM itself says. */
static void ask_also(const char *name, const char *command, json_t *arguments, json_t *sample)
{
	json_t *answer = NULL;
	struct error err;

	if (client_ask(name, command, arguments, &answer, &err) == 0)
		json_object_set_new(sample, command, answer);
	else
		json_object_set_new(json_object_get(sample, "errors"), command,
				    json_string(err.text));
}

int top_sample_take(const char *name, json_t **sample, struct error *err)
{
	json_t *info = NULL, *made;
	int status = client_ask(name, "info", NULL, &info, err);

	if (status < 0)
		return status;
	made = json_object();
	json_object_set_new(made, "ns", json_integer((json_int_t)clock_now_ns()));
	json_object_set_new(made, "info", info);
	json_object_set_new(made, "errors", json_object());
	ask_also(name, "memory", NULL, made);
	ask_also(name, "memory_use", NULL, made);
	/* Without command lines, which would cost the guest more. */
	ask_also(name, "ps", json_pack("{s:b}", "texts", 0), made);
	*sample = made;
	return 0;
}
