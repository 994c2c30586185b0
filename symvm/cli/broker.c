// SPDX-License-Identifier: BSD-2-Clause
/*
 * `symvm broker`: shares a host's memory among VMs (broker/daemon/server.h), or asks the broker
 * that runs: --list, --explain NAME.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/daemon/server.h"
#include "broker/policy/policy.h"
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/output.h"
#include "control/state_dir.h"
#include "jail/daemon.h"
#include "util/clock.h"

#define SOCKET_NAME    "broker.socket"
#define LEDGER_NAME    "broker.leases"
#define POLICY_DEFAULT "demand"
#define RECALL_MAX_S   60
#define DESCRIPTORS    4096 /* up to four for each VM */

struct options {
	char *socket, *policy, *state_dir, *explain;
	uint64_t share;
	unsigned recall_s;
	enum jail_mode jail;
	enum log_level log_level;
	bool list, json;
};

static const char *const jail_choices[] = {
	[JAIL_OFF] = "off", [JAIL_ON] = "on", [JAIL_LOG] = "log", [JAIL_TRAP] = "trap", NULL};
static const char *const log_level_choices[] = {[LOG_LEVEL_ERROR] = "error",
						[LOG_LEVEL_WARN] = "warn",
						[LOG_LEVEL_INFO] = "info",
						[LOG_LEVEL_DEBUG] = "debug",
						NULL};

#define INTO(member) ARGUMENT_INTO(struct options, member)

static const struct argument broker_options[] = {
	{.name = "share",
	 .type = ARGUMENT_SIZE,
	 .metavar = "SIZE",
	 INTO(share),
	 .minimum = 1 << 20,
	 .help = "Run a broker: memory of the host for all its VMs together, everything included"},
	{.name = "socket",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 INTO(socket),
	 .copy = true,
	 .help = "The broker's socket (default: " SOCKET_NAME " in the state directory)"},
	{.name = "policy",
	 .type = ARGUMENT_TEXT,
	 .metavar = "NAME",
	 INTO(policy),
	 .copy = true,
	 .help = "Who gets how much (default: " POLICY_DEFAULT ")"},
	{.name = "recall",
	 .type = ARGUMENT_DURATION,
	 .metavar = "SECONDS",
	 INTO(recall_s),
	 .minimum = 1,
	 .maximum = RECALL_MAX_S,
	 .help = "How long a VM may take to return memory (default: 10)"},
	{.name = "state-dir",
	 .type = ARGUMENT_TEXT,
	 .metavar = "DIR",
	 INTO(state_dir),
	 .copy = true,
	 .help = "Where the leases are recorded, in " LEDGER_NAME
		 " (default: the state directory of VMs)"},
	{.name = "jail",
	 .type = ARGUMENT_CHOICE,
	 .metavar = "on|off|log|trap",
	 INTO(jail),
	 .choices = jail_choices,
	 .help = "Confine the broker: capabilities, landlock, seccomp (default: on)"},
	{.name = "log-level",
	 .type = ARGUMENT_CHOICE,
	 .metavar = "LEVEL",
	 INTO(log_level),
	 .choices = log_level_choices,
	 .help = "error, warn, info (default) or debug"},
	{.name = "list",
	 .type = ARGUMENT_FLAG,
	 INTO(list),
	 .help = "Ask the running broker: the host and all VMs"},
	{.name = "explain",
	 .type = ARGUMENT_TEXT,
	 .metavar = "NAME",
	 INTO(explain),
	 .copy = true,
	 .help = "Ask the running broker why the VM NAME has what it has"},
	{.name = "json",
	 .type = ARGUMENT_FLAG,
	 INTO(json),
	 .help = "With --list or --explain: print JSON"},
	{0},
};

static const struct arguments broker_arguments = {
	.about =
		"Share a host's memory among the VMs that join (symvm run --broker SOCKET), or ask "
		"the broker that runs.",
	.notes = "The broker may be killed and started again at any time: VMs keep their leases.",
	.options = broker_options,
};

static void options_free(struct options *options)
{
	free(options->socket);
	free(options->policy);
	free(options->state_dir);
	free(options->explain);
}

static int path_join(char **path, const char *dir, const char *name, struct error *err)
{
	if (asprintf(path, "%s/%s", dir, name) >= 0)
		return 0;
	*path = NULL;
	return error_set(err, -ENOMEM, "out of memory");
}

/* Sets the paths that were not given. */
static int paths_complete(struct options *options, bool create, struct error *err)
{
	char dir[STATE_PATH_MAX];
	int fd, status = 0;

	if (options->socket && (options->state_dir || !create))
		return 0;
	fd = state_dir_open(create, dir, sizeof(dir), err);
	if (fd == -ENOENT && !create)
		return error_set(err, fd, "no broker runs: there is no state directory (--socket)");
	if (fd < 0)
		return fd;
	close(fd);
	if (!options->socket)
		status = path_join(&options->socket, dir, SOCKET_NAME, err);
	if (status == 0 && !options->state_dir) {
		options->state_dir = strdup(dir);
		status = options->state_dir ? 0 : error_set(err, -ENOMEM, "out of memory");
	}
	return status;
}

/* --- the daemon --- */

struct daemon {
	struct log log;
	struct event_loop *loop;
	struct broker_server *server;
	struct event_source *signal_source;
	int signal_fd;
};

static void signal_arrived(void *opaque, uint32_t events)
{
	struct daemon *daemon = opaque;

	event_loop_quit(daemon->loop);
}

static int signals_take(struct daemon *daemon, struct error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->signal_fd >= 0)
		daemon->signal_source = event_loop_add(daemon->loop, daemon->signal_fd, EPOLLIN,
						       signal_arrived, daemon);
	return daemon->signal_source ? 0 : error_set(err, -ENOMEM, "cannot take signals");
}

static void descriptors_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
		return;
	limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int daemon_start(struct daemon *daemon, const struct options *options, struct error *err)
{
	static const struct jail_daemon_path paths[] = {
		{"/proc", false}, {"/sys/fs/cgroup", true}, {NULL, false}};
	struct broker_config config = {
		.socket = options->socket,
		.accounts = {.share = options->share,
			     .recall_ns = options->recall_s * NS_PER_SECOND,
			     .policy = broker_policy_find(options->policy ? options->policy
									  : POLICY_DEFAULT)},
		.log = &daemon->log,
	};
	char *ledger = NULL, names[128];
	int status;

	if (!config.accounts.policy) {
		broker_policy_names(names, sizeof(names));
		return error_set(err, -EINVAL, "--policy: '%s' is none of %s", options->policy,
				 names);
	}
	status = path_join(&ledger, options->state_dir, LEDGER_NAME, err);
	if (status == 0 && event_loop_create(&daemon->loop) < 0)
		status = error_set(err, -ENOMEM, "out of memory");
	config.ledger = ledger;
	config.loop = daemon->loop;
	if (status == 0)
		status = signals_take(daemon, err);
	if (status == 0)
		status = broker_server_create(&config, &daemon->server, err);
	free(ledger);
	return status == 0 ? jail_daemon_enter(options->jail, JAIL_THREAD_BROKER, paths, err)
			   : status;
}

static int daemon_run(struct options *options, struct error *err)
{
	struct daemon daemon = {.signal_fd = -1};
	int status = paths_complete(options, true, err);

	if (status < 0)
		return status;
	log_init(&daemon.log, STDERR_FILENO, options->log_level);
	log_set_name(&daemon.log, "broker");
	descriptors_allow();
	status = daemon_start(&daemon, options, err);
	if (status == 0) {
		log_info(&daemon.log, "shares %llu MiB on %s",
			 (unsigned long long)(options->share >> 20), options->socket);
		event_loop_run(daemon.loop);
	}
	broker_server_destroy(daemon.server);
	event_source_remove(daemon.signal_source);
	if (daemon.signal_fd >= 0)
		close(daemon.signal_fd);
	if (daemon.loop)
		event_loop_destroy(daemon.loop);
	return status;
}

/* --- questions --- */

static int broker_connect(const char *path, struct client *client, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int status;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG, "--socket: '%s' is too long", path);
	strcpy(address.sun_path, path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd >= 0 &&
	    connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	status = -errno;
	client_close(client);
	return error_set_errno(err, status, "no broker answers on '%s'", path);
}

static void print_vm(json_t *answer)
{
	static const struct describe_field fields[] = {
		{"name", "name", DESCRIBE_COUNT, 0},
		{"state", "state", DESCRIBE_COUNT, 0},
		{"why", "why", DESCRIBE_COUNT, 0},
		{"weighed", "weighed", DESCRIBE_COUNT, 0},
		{"lease", "lease", DESCRIBE_BYTES, 0},
		{"target", "target", DESCRIBE_BYTES, 0},
		{"used", "used", DESCRIBE_BYTES, 0},
		{"min", "min", DESCRIBE_BYTES, 0},
		{"max", "max", DESCRIBE_BYTES, 0},
		{"weight", "weight", DESCRIBE_NUMBER, 0},
		{"want", "want", DESCRIBE_BYTES, 0},
		{"idle", "idle", DESCRIBE_BYTES, 0},
		{"swap_ins", "swap-ins", DESCRIBE_NUMBER, 0},
		{"refaults", "refaults", DESCRIBE_NUMBER, 0},
		{"miss_ns", "ns a miss", DESCRIBE_NUMBER, 0},
		{"recalls", "recalls", DESCRIBE_NUMBER, 0},
		{"overdue", "overdue", DESCRIBE_NUMBER, 0},
		{"account", "account", DESCRIBE_COUNT, 0},
		{"note", "note", DESCRIBE_COUNT, 0},
		{0},
	};

	describe_fields(json_object_get(answer, "vm"), fields);
}

static void print_list(json_t *answer)
{
	static const struct describe_column columns[] = {
		{"NAME", false, "name", DESCRIBE_COUNT},
		{"STATE", false, "state", DESCRIBE_COUNT},
		{"LEASE", true, "lease", DESCRIBE_BYTES},
		{"USED", true, "used", DESCRIBE_BYTES},
		{"WANT", true, "want", DESCRIBE_BYTES},
		{"IDLE", true, "idle", DESCRIBE_BYTES},
		{"MIN", true, "min", DESCRIBE_BYTES},
		{"MAX", true, "max", DESCRIBE_BYTES},
		{"WEIGHT", true, "weight", DESCRIBE_NUMBER},
	};
	static const struct describe_field fields[] = {
		{"share", "share", DESCRIBE_BYTES, 0},
		{"free", "free", DESCRIBE_BYTES, 0},
		{"policy", "policy", DESCRIBE_COUNT, 0},
		{"host_available", "host has", DESCRIBE_BYTES, 0},
		{0},
	};

	describe_fields(json_object_get(answer, "host"), fields);
	describe_table(json_object_get(answer, "vms"), columns,
		       sizeof(columns) / sizeof(columns[0]));
}

static int broker_ask(struct options *options, struct error *err)
{
	json_t *arguments = options->explain ? json_pack("{s:s}", "name", options->explain) : NULL;
	json_t *answer = NULL;
	struct client client;
	int status = paths_complete(options, false, err);

	if (status == 0)
		status = broker_connect(options->socket, &client, err);
	if (status < 0) {
		json_decref(arguments);
		return status;
	}
	status = client_call(&client, options->explain ? "explain" : "list", arguments,
			     CLIENT_TIMEOUT_MS, &answer, err);
	client_close(&client);
	if (status < 0)
		return status;
	if (options->json)
		output_json(answer);
	else if (options->explain)
		print_vm(answer);
	else
		print_list(answer);
	json_decref(answer);
	return 0;
}

static int options_check(const struct options *options, struct error *err)
{
	unsigned tasks = (options->share != 0) + options->list + (options->explain != NULL);

	return tasks == 1
		       ? 0
		       : error_set(err, -EINVAL,
				   "broker: give one of --share SIZE, --list and --explain NAME");
}

static int broker_run(int argc, char **argv)
{
	struct options options = {
		.recall_s = ACCOUNTS_RECALL_S, .jail = JAIL_ON, .log_level = LOG_LEVEL_INFO};
	struct error err = {0};
	int status = arguments_parse(&broker_arguments, argc, argv, &options, NULL, &err);
	bool usage = status < 0;

	if (status == 0) {
		status = options_check(&options, &err);
		usage = status < 0;
	}
	if (status == 0)
		status = options.share ? daemon_run(&options, &err) : broker_ask(&options, &err);
	if (status < 0)
		command_error("%s", err.text);
	options_free(&options);
	return usage ? COMMAND_USAGE : status < 0 ? COMMAND_FAILURE : COMMAND_SUCCESS;
}

static const struct command broker_command = {
	.name = "broker",
	.summary = "Share a host's memory among VMs, or ask the broker that does",
	.run_unparsed = broker_run,
};
COMMAND(broker_command);
