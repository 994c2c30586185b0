/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptors behind a character stream: opening and closing them, the terminal's mode. */
#ifndef SYMVM_DEVICES_CHARDEV_HOST_H
#define SYMVM_DEVICES_CHARDEV_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/terminal.h"
#include "jail/guard.h"
#include "util/error.h"

struct chardev_host {
	int listen_fd; /* -1 if it is not a socket */
	int input_fd;  /* -1: none, or no client is connected */
	int output_fd;
	bool own_input; /* we close them */
	bool own_output;
	bool is_socket;
	uint64_t file_limit;	   /* bytes that a file may take on the host; 0: no limit */
	char *file_path;	   /* NULL: the output is not a file */
	bool escape;		   /* the last key was Ctrl-A */
	bool output_is_socket;	   /* as systemd's journal: needs send(2) to not wait */
	struct terminal *terminal; /* NULL: standard input is not a terminal */
	struct jail_guard guard;
	char *socket_path;
	dev_t socket_device;
	ino_t socket_inode;
};

/*
 * Opens what @spec names (see chardev_open()). On failure nothing is left open: -errno with words.
 * For a terminal or a socket this forks a guard, which restores the terminal and removes the socket
 * however this process ends. Main thread, before other threads run.
 */
int chardev_host_open(struct chardev_host *host, const char *option, const char *spec,
		      struct error *err);
/* Ends the guard, restores the terminal and closes all descriptors. Main thread. */
void chardev_host_close(struct chardev_host *host);
/*
 * Removes Ctrl-A sequences from what was typed on a terminal. Returns the new length. *@quit
 * becomes true if Ctrl-A x was among them. Loop's thread.
 */
size_t chardev_host_filter(struct chardev_host *host, uint8_t *data, size_t length, bool *quit);
/*
 * Reads the input that is available, up to @size bytes. Returns how many bytes
 * there were. Loop's thread.
 */
size_t chardev_host_drain(struct chardev_host *host, uint8_t *data, size_t size);
/* Closes only the input, for good. Loop's thread. */
void chardev_host_close_input(struct chardev_host *host);

#endif
