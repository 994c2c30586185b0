// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `call`: one symbiotic call. A named call has an answer of its own form
 * (named_call.h). Any other atomic call is given by its number, and its answer is a number.
 */
#include <errno.h>
#include <string.h>

#include "control/control.h"
#include "control/named_call.h"
#include "machine/vm.h"
#include "services/guest.h"
#include "util/word_list.h"

REGISTRY_DECLARE(symvm_named_calls, struct named_call);

static int call_number(const struct guest *guest, uint64_t number,
		       const struct call_arguments *arguments, json_t **result,
		       struct guest_error *err)
{
	struct sym_call_request request = {.number = number};
	struct sym_call_result answer;
	int status;

	memcpy(request.args, arguments->values, sizeof(request.args));
	status = guest_call(guest, arguments->vcpu, &arguments->limit, &request, &answer, err);
	if (status == 0)
		*result = json_pack("{s:I}", "value", (json_int_t)answer.value);
	return status;
}

static int make_ping(const struct guest *guest, const struct call_arguments *arguments,
		     json_t **result, struct guest_error *err)
{
	return call_number(guest, SYM_CALL_PING, arguments, result, err);
}

static const struct named_call ping_call = {.name = "ping", .make = make_ping};
NAMED_CALL(ping_call);

static const struct named_call *find_call(const char *name)
{
	const struct named_call *const *it;

	REGISTRY_FOR_EACH(symvm_named_calls, it)
		if (strcmp((*it)->name, name) == 0)
			return *it;
	return NULL;
}

static int refuse_name(const char *name, struct error *err)
{
	const struct named_call *const *it;
	char names[256] = "";

	REGISTRY_FOR_EACH(symvm_named_calls, it)
		word_list_add(names, sizeof(names), ", ", (*it)->name);
	return error_set(err, -EINVAL, "call: '%s' is none of %s", name, names);
}

static int parse_values(json_t *arguments, struct call_arguments *parsed, struct error *err)
{
	json_t *list = json_object_get(arguments, "args"), *value;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > SYM_CALL_ARGS)
		return error_set(err, -EINVAL, "args: expected a list of at most %d numbers",
				 SYM_CALL_ARGS);
	json_array_foreach(list, i, value) {
		if (!json_is_integer(value))
			return error_set(err, -EINVAL, "args: value %zu is not an integer", i);
		parsed->values[i] = (uint64_t)json_integer_value(value);
	}
	return 0;
}

/* Sets either *@name or *@number: the call that the client means. */
static int parse_call(json_t *arguments, const char **name, json_int_t *number,
		      struct call_arguments *parsed, struct error *err)
{
	static const char *const known[] = {"call", "number", "vcpu", "args", NULL};
	json_int_t vcpu = 0;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "vcpu", 0, VM_VCPUS_MAX - 1, &vcpu,
						  err);
	if (status == 0)
		status = control_argument_integer(arguments, "number", SYM_CALL_ATOMIC_FIRST,
						  SYM_CALL_ATOMIC_LAST, number, err);
	if (status == 0)
		status = control_argument_text(arguments, "call", name, err);
	if (status == 0)
		status = parse_values(arguments, parsed, err);
	if (status < 0)
		return status;
	parsed->vcpu = (unsigned)vcpu;
	if ((*name != NULL) == (*number >= 0))
		return error_set(err, -EINVAL, "call: expected either a name or a number");
	return 0;
}

static int handle_call(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		       struct error *err)
{
	struct call_arguments parsed = {.limit = guest_limit_of(limit)};
	const struct guest guest = guest_of_vm(vm);
	const struct named_call *call = NULL;
	struct guest_error words = {""};
	json_int_t number = -1;
	const char *name = NULL;
	int status = parse_call(arguments, &name, &number, &parsed, err);

	if (status < 0)
		return status;
	if (name) {
		call = find_call(name);
		if (!call)
			return refuse_name(name, err);
	}
	status = call ? call->make(&guest, &parsed, result, &words)
		      : call_number(&guest, (uint64_t)number, &parsed, result, &words);
	return status < 0 ? guest_error_pass(err, status, &words) : 0;
}

static const struct control_command call_command = {
	.name = "call",
	.help = "call the guest: call (text) or number, vcpu, args (list of numbers)",
	.handle_until = handle_call,
};
CONTROL_COMMAND(call_command);
