// SPDX-License-Identifier: BSD-2-Clause
/*
 * vsock-echo PORT: in a guest, takes what one connection sends until its end, then sends it back.
 * Not at once: a peer that does not read while its own writes wait would wait forever, and so would
 * we.
 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST (4u << 20)

static int fail(const char *what)
{
	fprintf(stderr, "vsock-echo: ");
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0), connection;
	static char buffer[MOST];
	size_t taken = 0, sent = 0;
	ssize_t step;

	address.svm_port = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		return fail("listen");
	puts("vsock-echo listens");
	fflush(stdout);
	connection = accept(fd, NULL, NULL);
	if (connection < 0)
		return fail("accept");
	while ((step = read(connection, buffer + taken, MOST - taken)) > 0)
		taken += (size_t)step;
	if (step < 0)
		return fail("read");
	for (; sent < taken; sent += (size_t)step) {
		step = write(connection, buffer + sent, taken - sent);
		if (step <= 0)
			return fail("write");
	}
	return 0;
}
