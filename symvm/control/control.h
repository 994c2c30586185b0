/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a running VM: one JSON object a line. Each is answered by one line, in
 * order (docs/reference/control.md). Commands are a table in a linker section: one file for each,
 * NAME.c, with the same name as for the subcommand cli/NAME.c.
 */
#ifndef SYMVM_CONTROL_CONTROL_H
#define SYMVM_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

#include "util/error.h"
#include "util/registry.h"
#include "util/wait_limit.h"

struct vm;
struct control_server;
struct state_name;

struct control_command {
	const char *name; /* "info" */
	const char *help; /* one line, with the arguments' names */
	/*
	 * Runs on the main loop, and must not wait. For a command that must work while all workers
	 * wait, and for clients beyond the limit.
	 */
	bool immediate;
	/* Changes nothing. It is dropped if its client leaves; any other command is carried out. */
	bool is_query;
	/* May wait for a guest, for a bounded time. Other commands only wait for locks. */
	bool may_wait;
	unsigned limit_ms; /* from the request to its end; 0: CONTROL_LIMIT_MS */
	/*
	 * Carries out the command, on a worker thread unless @immediate. Commands of different
	 * clients may run at the same time, so it takes its own locks. @arguments is an object
	 * (empty if the client gave none), whose values are untrusted. On success returns 0 and may
	 * set *@result, a new reference (NULL: an empty object is answered). On failure returns a
	 * negative errno value and words in @err; the answer is then {"error": {"code",
	 * "message"}}.
	 */
	int (*handle)(struct vm *vm, json_t *arguments, json_t **result, struct error *err);
	/*
	 * Instead of handle(), for a command that may wait. It returns soon after @limit is over:
	 * at its time, or if the client left or the VM ended. On a worker thread
	 * (JAIL_THREAD_WORKER).
	 */
	int (*handle_until)(struct vm *vm, json_t *arguments, struct wait_limit *limit,
			    json_t **result, struct error *err);
	/*
	 * Instead of handle_until(), for a command that needs the regular file @fd that the client
	 * passed with the request (SCM_RIGHTS). The server closes it afterwards.
	 */
	int (*handle_file)(struct vm *vm, json_t *arguments, int fd, struct wait_limit *limit,
			   json_t **result, struct error *err);
};

/* Clients wait longer, so that they receive the reason. */
#define CONTROL_LIMIT_MS 9000u
#define CONTROL_COMMAND(object) \
	REGISTRY_ENTRY(symvm_control_commands, struct control_command, object)

/* The command of that name, or NULL. The table is constant. Any thread. */
const struct control_command *control_command_find(const char *name);

/*
 * Argument helpers for handlers. A missing key leaves *@value unchanged. A value of another type or
 * out of its range, or a key that is not in @known (ended by NULL), gives -EINVAL and words. Any
 * thread.
 */
int control_argument_bool(json_t *arguments, const char *key, bool *value, struct error *err);
int control_argument_integer(json_t *arguments, const char *key, json_int_t minimum,
			     json_int_t maximum, json_int_t *value, struct error *err);
/* *@value points into @arguments. */
int control_argument_text(json_t *arguments, const char *key, const char **value,
			  struct error *err);
int control_arguments_known(json_t *arguments, const char *const *known, struct error *err);
/* For a command that takes no arguments. */
int control_arguments_none(json_t *arguments, struct error *err);

/*
 * A JSON string of @text. If @text is not UTF-8 (a guest's text or a file's name may be anything),
 * its bytes above 0x7f become '?'. New reference, or NULL. Any thread.
 */
json_t *control_text(const char *text);

/*
 * Listens on the socket of @name (control/state_dir.h) and serves it on vm->main_loop. Main thread,
 * after the devices are created. -errno with words.
 */
int control_server_create(struct vm *vm, const struct state_name *name,
			  struct control_server **server, struct error *err);
/*
 * Creates the worker threads, which enter their jails meanwhile. Main thread, after vm->jail is
 * set. -errno with words.
 */
int control_server_start(struct control_server *server, struct error *err);
/* Waits until they are in their jails. Main thread, before the guest runs. -errno with words. */
int control_server_wait_ready(struct control_server *server, struct error *err);
/*
 * Ends all connections and workers. Main thread, when the loop no longer runs, and before
 * vm_destroy().
 */
void control_server_destroy(struct control_server *server);

#endif
