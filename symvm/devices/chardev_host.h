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
	int listen_fd; /* -1 where not a socket */
	int input_fd;  /* -1: none, or nobody connected */
	int output_fd;
	bool own_input; /* to be closed by us */
	bool own_output;
	bool is_socket;
	uint64_t file_limit;	   /* bytes that a file may take on the host; 0: no limit */
	char *file_path;	   /* NULL: the output is no file */
	bool escape;		   /* the last key was Ctrl-A */
	bool output_is_socket;	   /* as systemd's journal: must be sent to, so as not to wait */
	struct terminal *terminal; /* NULL: standard input is none */
	struct jail_guard guard;
	char *socket_path;
	dev_t socket_device;
	ino_t socket_inode;
};

/*
 * Opens what @spec names (see chardev_open()). On failure nothing is left open.
 * Main thread, before other threads run: for a terminal or a socket it forks a guard, which
 * puts the terminal right and removes the socket however this process ends.
 */
int chardev_host_open(struct chardev_host *host, const char *option, const char *spec,
		      struct error *err);
void chardev_host_close(struct chardev_host *host);
/*
 * Takes Ctrl-A sequences out of what was typed on a terminal. Returns the new length; *@quit
 * becomes true where Ctrl-A x was among it.
 */
size_t chardev_host_filter(struct chardev_host *host, uint8_t *data, size_t length, bool *quit);
/* Reads what is there of a client's input, up to @size bytes; returns how many. */
size_t chardev_host_drain(struct chardev_host *host, uint8_t *data, size_t size);
/* Closes the input only, for good. */
void chardev_host_close_input(struct chardev_host *host);

#endif
