// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `call`: one symbiotic call by name. Calls with an answer of their own form
 * stand in a table; any other atomic call goes by its number and answers a number.
 */
#include <errno.h>
#include <string.h>

#include "control/control.h"
#include "machine/vm.h"
#include "services/guest_call.h"

struct call_arguments {
	const struct wait_limit *limit;
	json_int_t vcpu;
	uint64_t values[SYM_CALL_ARGS];
	size_t count;
};

struct named_call {
	const char *name;
	int (*make)(struct vm *vm, const struct call_arguments *arguments, json_t **result,
		    struct error *err);
};

static int call_number(struct vm *vm, uint64_t number, const struct call_arguments *arguments,
		       json_t **result, struct error *err)
{
	struct sym_call_request request = {.number = number};
	struct sym_call_result answer;
	int status;

	memcpy(request.args, arguments->values, sizeof(request.args));
	status = guest_call(vm, (unsigned)arguments->vcpu, arguments->limit, &request, &answer,
			    err);
	if (status < 0)
		return status;
	*result = json_pack("{s:I}", "value", (json_int_t)answer.value);
	return 0;
}

static int call_ping(struct vm *vm, const struct call_arguments *arguments, json_t **result,
		     struct error *err)
{
	return call_number(vm, SYM_CALL_PING, arguments, result, err);
}

static int call_whoami(struct vm *vm, const struct call_arguments *arguments, json_t **result,
		       struct error *err)
{
	struct sym_whoami whoami;
	int status = guest_call_message(vm, (unsigned)arguments->vcpu, arguments->limit,
					SYM_CALL_WHOAMI, &whoami, sizeof(whoami), err);

	if (status == 0)
		*result = guest_whoami_json(&whoami);
	return status;
}

static int call_meminfo(struct vm *vm, const struct call_arguments *arguments, json_t **result,
			struct error *err)
{
	struct sym_meminfo memory;
	int status = guest_call_message(vm, (unsigned)arguments->vcpu, arguments->limit,
					SYM_CALL_MEMINFO, &memory, sizeof(memory), err);

	if (status == 0)
		*result = json_pack(
			"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mem_total",
			(json_int_t)memory.mem_total, "mem_free", (json_int_t)memory.mem_free,
			"mem_available", (json_int_t)memory.mem_available, "swap_total",
			(json_int_t)memory.swap_total, "swap_free", (json_int_t)memory.swap_free,
			"swap_in", (json_int_t)memory.swap_in, "swap_out",
			(json_int_t)memory.swap_out, "major_faults",
			(json_int_t)memory.major_faults);
	return status;
}

static int call_stack(struct vm *vm, const struct call_arguments *arguments, json_t **result,
		      struct error *err)
{
	char text[GUEST_STACK_SIZE];
	struct sym_call_request request = guest_stack_request(text);
	struct sym_call_result answer;
	int status = guest_call(vm, (unsigned)arguments->vcpu, arguments->limit, &request, &answer,
				err);

	if (status < 0)
		return status;
	if (answer.value < 0)
		return error_set(err, -EIO, "the guest could not give its stack (%lld)",
				 (long long)answer.value);
	*result = json_pack("{s:o}", "frames", guest_stack_json(text, answer.message_length));
	return 0;
}

static const struct named_call named_calls[] = {
	{"ping", call_ping},
	{"whoami", call_whoami},
	{"meminfo", call_meminfo},
	{"stack", call_stack},
};

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
			return error_set(err, -EINVAL, "args: value %zu is not a whole number", i);
		parsed->values[parsed->count++] = (uint64_t)json_integer_value(value);
	}
	return 0;
}

static int handle_call(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		       struct error *err)
{
	static const char *const known[] = {"call", "number", "vcpu", "args", NULL};
	struct call_arguments parsed = {.limit = limit};
	json_int_t number = -1;
	const char *name = NULL;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "vcpu", 0, VM_VCPUS_MAX - 1,
						  &parsed.vcpu, err);
	if (status == 0)
		status = control_argument_integer(arguments, "number", SYM_CALL_ATOMIC_FIRST,
						  SYM_CALL_ATOMIC_LAST, &number, err);
	if (status == 0)
		status = control_argument_text(arguments, "call", &name, err);
	if (status == 0)
		status = parse_values(arguments, &parsed, err);
	if (status < 0)
		return status;
	if ((name != NULL) == (number >= 0))
		return error_set(err, -EINVAL, "call: expected either a name or a number");
	if (!name)
		return call_number(vm, (uint64_t)number, &parsed, result, err);
	for (size_t i = 0; i < sizeof(named_calls) / sizeof(named_calls[0]); i++)
		if (strcmp(named_calls[i].name, name) == 0)
			return named_calls[i].make(vm, &parsed, result, err);
	return error_set(err, -EINVAL, "call: '%s' is none of ping, whoami, meminfo, stack", name);
}

static const struct control_command call_command = {
	.name = "call",
	.help = "call the guest: call (text) or number, vcpu, args (list of numbers)",
	.handle_until = handle_call,
};
CONTROL_COMMAND(call_command);
