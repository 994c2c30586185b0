// SPDX-License-Identifier: BSD-2-Clause
#include "control/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

union one_file {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void take_file(const struct msghdr *message, struct control_file *file)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	struct stat status;
	int fd;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len < CMSG_LEN(sizeof(fd)))
		return;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return;
	}
	control_file_close(file);
	*file = (struct control_file){.present = true, .fd = fd};
}

ssize_t control_receive(int socket, void *data, size_t size, struct control_file *file)
{
	struct iovec piece = {data, size};
	union one_file control;
	/* Not CMSG_SPACE: its padding has room for a second descriptor, which would stay open. */
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_LEN(sizeof(int))};
	ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got >= 0)
		take_file(&message, file);
	return got;
}

int control_pass_file(int socket, int fd)
{
	struct iovec piece = {" ", 1};
	union one_file control = {
		.header = {.cmsg_len = CMSG_LEN(sizeof(fd)),
			   .cmsg_level = SOL_SOCKET,
			   .cmsg_type = SCM_RIGHTS},
	};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
