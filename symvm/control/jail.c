// SPDX-License-Identifier: BSD-2-Clause
/*
 * The section "jail" of `symvm info`: the parts of the jail that are really in force for this VM.
 */
#include "control/control.h"
#include "jail/jail.h"
#include "machine/report.h"
#include "machine/vm.h"
#include "util/word_list.h"

static void set_namespaces(const struct jail_state *state, json_t *object)
{
	char text[64] = "";

	if (state->user_namespace)
		word_list_add(text, sizeof(text), ", ", "user");
	if (state->mount_namespace)
		word_list_add(text, sizeof(text), ", ", "mount");
	if (state->network_namespace)
		word_list_add(text, sizeof(text), ", ", "network");
	json_object_set_new(object, "namespaces", json_string(*text ? text : "none"));
	json_object_set_new(object, "root",
			    json_string(state->mount_namespace ? "empty, read-only"
					: state->changed_root  ? "empty"
							       : "the host's"));
}

static void set_landlock(const struct jail_state *state, json_t *object)
{
	json_object_set_new(object, "landlock_abi", json_integer(state->landlock_abi));
	json_object_set_new(
		object, "landlock_scopes",
		json_string(state->landlock_scopes ? "signals, abstract sockets" : "none"));
}

/* The system calls beyond those that every VM may make. */
static void set_filters(const struct jail_state *state, json_t *object)
{
	static const char *const names[] = {"user network", "tap or vhost", "console socket",
					    "slot store", "NBD"};
	char text[128] = "base";

	for (unsigned i = 0; i < JAIL_FEATURE_COUNT; i++)
		if (state->features & (1u << i))
			word_list_add(text, sizeof(text), ", ", names[i]);
	json_object_set_new(object, "filters", json_string(text));
}

static void jail_info(struct vm *vm, json_t *object)
{
	const struct jail_state *state = jail_state(vm->jail);

	json_object_set_new(object, "mode",
			    json_string(jail_mode_name(state ? state->mode : JAIL_OFF)));
	if (!state)
		return;
	json_object_set_new(object, "uid", json_integer(state->uid));
	json_object_set_new(object, "gid", json_integer(state->gid));
	json_object_set_new(object, "user", json_string(state->user));
	json_object_set_new(
		object, "capabilities",
		json_string(state->bounding_empty ? "none" : "none, but a bounding set"));
	set_namespaces(state, object);
	set_landlock(state, object);
	set_filters(state, object);
	json_object_set_new(object, "heap_limit", json_integer((json_int_t)state->heap_limit));
	json_object_set_new(object, "cgroup", control_text(state->cgroup));
	json_object_set_new(object, "memory_limit", json_integer((json_int_t)state->memory_limit));
}

static const struct report jail_report = {
	.name = "jail",
	.info = jail_info,
};
REPORT(jail_report);
