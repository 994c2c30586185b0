// SPDX-License-Identifier: BSD-2-Clause
/* vsock-echo PORT: in a guest, answers one connection with what it sends, until its end. */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0), connection;
	static char buffer[65536];
	ssize_t length;

	address.svm_port = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0) {
		perror("vsock-echo");
		return 1;
	}
	puts("vsock-echo listens");
	fflush(stdout);
	connection = accept(fd, NULL, NULL);
	while ((length = read(connection, buffer, sizeof(buffer))) > 0) {
		for (ssize_t done = 0; done < length;) {
			ssize_t step = write(connection, buffer + done, (size_t)(length - done));

			if (step <= 0)
				return 1;
			done += step;
		}
	}
	return 0;
}
