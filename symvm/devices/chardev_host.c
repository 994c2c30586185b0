// SPDX-License-Identifier: BSD-2-Clause
/*
 * Opens and closes the descriptors behind a character stream, by the form of its option.
 *
 * Terminals and unix sockets leave something behind that must be undone however the VM ends: the
 * terminal's mode, and the socket's name. A guard, which is a small process forked before the other
 * threads start, does that when the VM has ended.
 */
#include "devices/chardev_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/descriptor.h"
#include "util/keyval.h"

#define ESCAPE_KEY 0x01 /* Ctrl-A */
/* What a console's file may take on the host by default. */
#define FILE_LIMIT	 (64u << 20)
#define FILE_LIMIT_LEAST (256u << 10)

/* The name of the socket in its directory. */
static const char *socket_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * The guard's work when the VM has ended, whatever the cause: restores the terminal, and removes
 * our socket unless another process has taken the name since.
 */
static void clear_away(void *opaque, int dir_fd)
{
	const struct chardev_host *host = opaque;
	struct stat status;
	const char *name;

	if (host->terminal)
		terminal_restore(host->terminal);
	if (!host->socket_path)
		return;
	name = socket_name(host->socket_path);
	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    status.st_dev == host->socket_device && status.st_ino == host->socket_inode)
		unlinkat(dir_fd, name, 0);
}

/* The directory that contains the socket, or -1. */
static int open_socket_dir(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	size_t length = (size_t)(socket_name(path) - path);

	if (length >= sizeof(dir))
		return -1;
	memcpy(dir, path, length);
	dir[length] = '\0';
	return open(length ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int start_guard(struct chardev_host *host, struct error *err)
{
	int dir_fd = host->socket_path ? open_socket_dir(host->socket_path) : -1, status;

	status = jail_guard_start(&host->guard, dir_fd, clear_away, host, err);
	if (dir_fd >= 0)
		close(dir_fd);
	return status;
}

static int open_stdio(struct chardev_host *host, struct error *err)
{
	struct stat status;

	host->input_fd = descriptor_reopen(STDIN_FILENO, O_RDONLY, &host->own_input);
	host->output_fd = descriptor_reopen(STDOUT_FILENO, O_WRONLY, &host->own_output);
	host->output_is_socket = fstat(STDOUT_FILENO, &status) == 0 && S_ISSOCK(status.st_mode);
	if (host->input_fd < 0)
		return 0;
	host->terminal = terminal_open(STDIN_FILENO);
	return host->terminal ? start_guard(host, err) : 0;
}

/* Removes ",max=SIZE" from the end of @path. */
static int take_limit(struct chardev_host *host, const char *option, char *path, struct error *err)
{
	char *max = strrchr(path, ',');

	host->file_limit = FILE_LIMIT;
	if (!max || strncmp(max, ",max=", 5) != 0)
		return 0;
	*max = '\0';
	max += 5;
	host->file_limit = 0;
	if (strcmp(max, "none") == 0)
		return 0;
	if (keyval_parse_size(max, &host->file_limit) < 0 || host->file_limit < FILE_LIMIT_LEAST)
		return error_set(err, -EINVAL,
				 "--%s: max=%s is neither none nor a size of at least %u KiB",
				 option, max, FILE_LIMIT_LEAST >> 10);
	return 0;
}

static int open_file(struct chardev_host *host, const char *option, const char *spec,
		     struct error *err)
{
	/* Appended, because cutting bytes off the front moves the end. */
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK;
	char *path = strdup(spec);
	int status;

	if (!path)
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	status = take_limit(host, option, path, err);
	if (status == 0) {
		host->output_fd = open(path, flags, 0600);
		if (host->output_fd < 0)
			status = error_set_errno(err, -errno, "--%s: cannot open %s", option, path);
		else
			host->own_output = true;
	}
	if (status == 0)
		host->file_path = path;
	else
		free(path);
	return status;
}

/* Whether the file at @address is a socket on which nobody listens any more. */
static bool is_stale_socket(const struct sockaddr_un *address)
{
	struct stat status;
	bool stale;
	int fd;

	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int open_socket(struct chardev_host *host, const char *option, const char *path,
		       struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int code;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG,
				 "--%s: socket path %s is longer than %zu bytes", option, path,
				 sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	host->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (host->listen_fd < 0)
		return error_set_errno(err, -errno, "--%s: cannot create a socket", option);
	host->is_socket = true;
	if (is_stale_socket(&address))
		unlink(path);
	/* The mode of the descriptor becomes the mode of the file. */
	if (fchmod(host->listen_fd, 0600) < 0 ||
	    bind(host->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, -errno, "--%s: cannot listen on %s", option, path);
	if (lstat(path, &status) == 0) {
		host->socket_device = status.st_dev;
		host->socket_inode = status.st_ino;
	}
	host->socket_path = strdup(path);
	if (!host->socket_path) {
		unlink(path);
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	}
	code = listen(host->listen_fd, 1) < 0
		       ? error_set_errno(err, -errno, "--%s: cannot listen on %s", option, path)
		       : start_guard(host, err);
	if (code < 0)
		unlink(path);
	return code;
}

static int open_spec(struct chardev_host *host, const char *option, const char *spec,
		     struct error *err)
{
	if (strcmp(spec, "none") == 0)
		return 0;
	if (strcmp(spec, "stdio") == 0)
		return open_stdio(host, err);
	if (strncmp(spec, "file:", 5) == 0 && spec[5])
		return open_file(host, option, spec + 5, err);
	if (strncmp(spec, "socket:", 7) == 0 && spec[7])
		return open_socket(host, option, spec + 7, err);
	return error_set(err, -EINVAL,
			 "--%s: '%s' is not stdio, socket:PATH, file:PATH[,max=SIZE] or none",
			 option, spec);
}

int chardev_host_open(struct chardev_host *host, const char *option, const char *spec,
		      struct error *err)
{
	int status;

	*host = (struct chardev_host){.listen_fd = -1, .input_fd = -1, .output_fd = -1};
	status = open_spec(host, option, spec, err);
	if (status < 0)
		chardev_host_close(host);
	return status;
}

size_t chardev_host_filter(struct chardev_host *host, uint8_t *data, size_t length, bool *quit)
{
	size_t kept = 0;

	for (size_t i = 0; i < length; i++) {
		if (!host->escape && data[i] == ESCAPE_KEY) {
			host->escape = true;
			continue;
		}
		if (host->escape) {
			host->escape = false;
			if (data[i] == 'x' || data[i] == 'X') {
				*quit = true;
				continue;
			}
			if (data[i] != ESCAPE_KEY)
				continue;
		}
		data[kept++] = data[i];
	}
	return kept;
}

size_t chardev_host_drain(struct chardev_host *host, uint8_t *data, size_t size)
{
	size_t count = 0;

	while (count < size) {
		ssize_t length = read(host->input_fd, data + count, size - count);

		if (length <= 0)
			break;
		count += (size_t)length;
	}
	return count;
}

void chardev_host_close_input(struct chardev_host *host)
{
	if (host->input_fd >= 0 && (host->own_input || host->is_socket))
		close(host->input_fd);
	host->input_fd = -1;
}

void chardev_host_close(struct chardev_host *host)
{
	jail_guard_end(&host->guard);
	terminal_close(host->terminal);
	chardev_host_close_input(host);
	if (host->output_fd >= 0 && (host->own_output || host->is_socket))
		close(host->output_fd);
	if (host->listen_fd >= 0)
		close(host->listen_fd);
	free(host->socket_path);
	free(host->file_path);
	*host = (struct chardev_host){.listen_fd = -1, .input_fd = -1, .output_fd = -1};
}
