// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/net_resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_MOST 16384u
#define DNS_PORT  53u
#define NOBODY	  65534u
#define KEYWORD	  "nameserver"

static bool address_parse(char *text, union net_resolver_address *address)
{
	char *scope = strchr(text, '%');

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &address->in4.sin_addr) == 1) {
		address->in4.sin_family = AF_INET;
		address->in4.sin_port = htons(DNS_PORT);
		return true;
	}
	if (scope)
		*scope = '\0';
	if (inet_pton(AF_INET6, text, &address->in6.sin6_addr) != 1)
		return false;
	address->in6.sin6_family = AF_INET6;
	address->in6.sin6_port = htons(DNS_PORT);
	address->in6.sin6_scope_id = scope ? if_nametoindex(scope + 1) : 0;
	return true;
}

static void line_parse(char *line, struct net_resolvers *resolvers)
{
	size_t keyword = strlen(KEYWORD);
	char *text;

	if (strncmp(line, KEYWORD, keyword) != 0 || !isblank((unsigned char)line[keyword]) ||
	    resolvers->count == NET_RESOLVERS_MAX)
		return;
	text = line + keyword + strspn(line + keyword, " \t");
	text[strcspn(text, " \t\r#;")] = '\0';
	if (address_parse(text, &resolvers->servers[resolvers->count]))
		resolvers->count++;
}

void net_resolvers_read(const char *path, struct net_resolvers *resolvers)
{
	/* A file that is not regular (a FIFO) must not block the process. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[FILE_MOST + 1], *line = text, *end;
	ssize_t length;

	memset(resolvers, 0, sizeof(*resolvers));
	if (fd < 0)
		return;
	length = read(fd, text, FILE_MOST);
	close(fd);
	if (length <= 0)
		return;
	text[length] = '\0';
	for (; line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (end)
			*end = '\0';
		line_parse(line, resolvers);
	}
}

/* It has no rights beyond reading what everybody may read. */
static void rights_drop(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
}

static __attribute__((noreturn)) void resolver_serve(int fd, const char *path)
{
	struct net_resolvers resolvers;
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "symvm-resolver");
	(void)!chdir("/"); /* so that no file system is kept busy */
	/* Nothing of the VM may remain in here. */
	if (dup2(fd, STDIN_FILENO) < 0)
		_exit(1);
	close_range(STDIN_FILENO + 1, ~0u, 0);
	rights_drop();
	for (;;) {
		ssize_t got = recv(STDIN_FILENO, &byte, 1, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			_exit(0);
		net_resolvers_read(path, &resolvers);
		if (send(STDIN_FILENO, &resolvers, sizeof(resolvers), MSG_NOSIGNAL) < 0)
			_exit(0);
	}
}

int net_resolver_start(const char *path, struct error *err)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(err, -errno, "--net: socketpair");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		resolver_serve(ends[1], path);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return error_set_errno(err, -errno, "--net: fork");
	}
	return ends[0];
}

bool net_resolver_ask(int fd)
{
	return send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

bool net_resolver_take(int fd, struct net_resolvers *resolvers)
{
	struct net_resolvers taken;

	if (recv(fd, &taken, sizeof(taken), MSG_DONTWAIT) != sizeof(taken) ||
	    taken.count > NET_RESOLVERS_MAX)
		return false;
	*resolvers = taken;
	return true;
}
