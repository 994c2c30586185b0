// SPDX-License-Identifier: BSD-2-Clause
#include "util/reopen.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"
#include "util/event_loop.h"

#define FILES_MAX 16u

struct file {
	int fd;
	char *path;
};

struct reopen {
	struct file files[FILES_MAX];
	unsigned count;
	struct log *log;
	pid_t opener; /* 0: none */
	int channel;  /* to the opener */
	int signal_fd;
	struct event_source *channel_source;
	struct event_source *signal_source;
};

/* The answer for one file; the descriptor comes with it if status is 0. */
struct answer {
	uint32_t index;
	int32_t status;
};

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR1);
}

struct reopen *reopen_create(void)
{
	struct reopen *reopen = calloc(1, sizeof(*reopen));
	sigset_t set;

	if (!reopen)
		return NULL;
	reopen->channel = reopen->signal_fd = -1;
	signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return reopen;
}

static bool is_regular(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

void reopen_add(struct reopen *reopen, int fd, const char *path)
{
	struct file *file;

	if (!reopen || reopen->count == FILES_MAX || !is_regular(fd))
		return;
	file = &reopen->files[reopen->count];
	file->fd = fd;
	file->path = strdup(path);
	if (file->path)
		reopen->count++;
}

/* In the opener: a descriptor, or -errno. */
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);

	if (fd < 0)
		return -errno;
	if (is_regular(fd))
		return fd;
	close(fd);
	return -EINVAL;
}

static void send_file(int channel, uint32_t index, int fd)
{
	struct answer answer = {.index = index, .status = fd < 0 ? fd : 0};
	struct iovec data = {&answer, sizeof(answer)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	/* If it fails, the VM is gone and needs no answer. */
	if (sendmsg(channel, &message, MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* Runs the opener. It ends with the VM's process, however that ends. */
static void opener(const struct reopen *reopen, int channel)
{
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* No descriptor of the VM may stay open in this process. */
	if (dup2(channel, STDIN_FILENO) < 0)
		_exit(1);
	close_range(STDOUT_FILENO, ~0u, 0);
	while (recv(STDIN_FILENO, &byte, 1, 0) == 1) {
		for (uint32_t i = 0; i < reopen->count; i++) {
			int fd = open_file(reopen->files[i].path);

			send_file(STDIN_FILENO, i, fd);
			if (fd >= 0)
				close(fd);
		}
	}
	_exit(0);
}

static void take_answer(struct reopen *reopen, const struct answer *answer, int fd)
{
	const struct file *file;

	if (answer->index >= reopen->count)
		return;
	file = &reopen->files[answer->index];
	if (answer->status < 0)
		log_warn(reopen->log, "%s: cannot be opened again; the old file stays in use: %s",
			 file->path, strerror(-answer->status));
	else if (fd < 0 || dup3(fd, file->fd, O_CLOEXEC) < 0)
		log_warn(reopen->log, "%s: cannot be opened again; the old file stays in use",
			 file->path);
	else
		log_info(reopen->log, "%s: opened again", file->path);
}

static void answer_arrived(void *opaque, uint32_t events)
{
	struct reopen *reopen = opaque;
	struct answer answer;
	struct iovec data = {&answer, sizeof(answer)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(reopen->channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		/* The opener was killed: from now on SIGUSR1 does nothing. */
		event_source_remove(reopen->channel_source);
		reopen->channel_source = NULL;
		return;
	}
	if (message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (got == sizeof(answer))
		take_answer(reopen, &answer, fd);
	if (fd >= 0)
		close(fd);
}

static void signal_arrived(void *opaque, uint32_t events)
{
	struct reopen *reopen = opaque;
	struct signalfd_siginfo info;

	if (read(reopen->signal_fd, &info, sizeof(info)) != sizeof(info) || reopen->channel < 0)
		return;
	/* A full channel holds enough requests. */
	if (send(reopen->channel, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		log_warn(reopen->log, "log files cannot be opened again: %s", strerror(errno));
}

static int start_opener(struct reopen *reopen, struct error *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(err, -errno, "cannot create a socket pair");
	reopen->opener = fork();
	if (reopen->opener == 0)
		opener(reopen, ends[1]);
	close(ends[1]);
	reopen->channel = ends[0];
	if (reopen->opener < 0) {
		reopen->opener = 0;
		return error_set_errno(err, -errno, "cannot fork");
	}
	return 0;
}

int reopen_start(struct reopen *reopen, struct event_loop *loop, struct log *log, struct error *err)
{
	sigset_t set;
	int status = 0;

	reopen->log = log;
	if (reopen->count)
		status = start_opener(reopen, err);
	if (status < 0)
		return status;
	signal_set(&set);
	reopen->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (reopen->signal_fd >= 0)
		reopen->signal_source = event_loop_add(loop, reopen->signal_fd, EPOLLIN,
						       signal_arrived, reopen);
	if (reopen->channel >= 0)
		reopen->channel_source = event_loop_add(loop, reopen->channel, EPOLLIN,
							answer_arrived, reopen);
	if (!reopen->signal_source || (reopen->channel >= 0 && !reopen->channel_source))
		return error_set(err, -ENOMEM, "cannot take SIGUSR1: out of memory");
	return 0;
}

void reopen_destroy(struct reopen *reopen)
{
	if (!reopen)
		return;
	event_source_remove(reopen->channel_source);
	event_source_remove(reopen->signal_source);
	if (reopen->channel >= 0)
		close(reopen->channel);
	if (reopen->signal_fd >= 0)
		close(reopen->signal_fd);
	/* Do not wait for it: it may hang in the open() of a dead file server. */
	if (reopen->opener > 0)
		waitpid(reopen->opener, NULL, WNOHANG);
	for (unsigned i = 0; i < reopen->count; i++)
		free(reopen->files[i].path);
	free(reopen);
}
