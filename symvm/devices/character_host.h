/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptors behind a character stream: opening and closing them, the terminal's mode. */
#ifndef SYMVM_DEVICES_CHARACTER_HOST_H
#define SYMVM_DEVICES_CHARACTER_HOST_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "util/error.h"

struct character_host {
	int listen_fd; /* -1 where not a socket */
	int input_fd;  /* -1: none, or nobody connected */
	int output_fd;
	bool own_input; /* to be closed by us */
	bool own_output;
	bool is_socket;
	bool is_terminal;
	struct termios saved; /* the terminal's mode before ours */
	int guard_fd;	      /* its closing tells the guard that we are gone */
	pid_t guard;
	char *socket_path;
	dev_t socket_device;
	ino_t socket_inode;
};

/*
 * Opens what @spec names (see character_open()). On failure nothing is left open.
 * Main thread, before other threads run: for a terminal or a socket it forks a guard, which
 * puts the terminal right and removes the socket however this process ends.
 */
int character_host_open(struct character_host *host, const char *option, const char *spec,
			struct error *err);
void character_host_close(struct character_host *host);
/* Closes the input only, for good. */
void character_host_close_input(struct character_host *host);

#endif
