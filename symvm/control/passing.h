/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that a client of the control socket passes to the VM (unix(7), SCM_RIGHTS). */
#ifndef SYMVM_CONTROL_PASSING_H
#define SYMVM_CONTROL_PASSING_H

#include <stddef.h>
#include <sys/types.h>

#include "control/protocol.h"

/*
 * recv(2) without waiting. A file that comes with the bytes replaces *@file, which the caller
 * closes. Only a regular file is taken, since writes to others may wait for ever, and only one for
 * each receive; all others are closed. One thread for each socket.
 */
ssize_t control_receive(int socket, void *data, size_t size, struct control_file *file);

/*
 * Passes @fd to the VM at the other end of @socket, before a request: with a blank, which JSON
 * allows there. 0 or -errno; -EAGAIN if a non-blocking socket is full. Any thread.
 */
int control_pass_file(int socket, int fd);

#endif
