// SPDX-License-Identifier: BSD-2-Clause
#include "devices/terminal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "util/event_loop.h"

#define LOOK_NS 500000000L

/* In shared memory, because the guard in devices/chardev_host.c reads it. */
struct terminal {
	int fd;
	pid_t group;
	_Atomic bool raw;     /* we made it raw, so it must be restored */
	struct termios saved; /* the mode before ours; valid while raw */
};

bool terminal_is_foreground(const struct terminal *terminal)
{
	pid_t group = tcgetpgrp(terminal->fd);

	/* A terminal that is not our controlling terminal has no jobs. */
	return group <= 0 || group == terminal->group;
}

static void terminal_set_raw(struct terminal *terminal)
{
	struct termios raw;

	if (atomic_load(&terminal->raw) || !terminal_is_foreground(terminal) ||
	    tcgetattr(terminal->fd, &terminal->saved) < 0)
		return;
	raw = terminal->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* log lines share the terminal */
	atomic_store(&terminal->raw, true);
	tcsetattr(terminal->fd, TCSANOW, &raw);
}

void terminal_restore(struct terminal *terminal)
{
	/* At once: a terminal whose other end does not read would delay the VM's end. */
	if (atomic_exchange(&terminal->raw, false))
		tcsetattr(terminal->fd, TCSANOW, &terminal->saved);
}

struct terminal *terminal_open(int fd)
{
	struct terminal *terminal;

	if (!isatty(fd))
		return NULL;
	terminal = mmap(NULL, sizeof(*terminal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (terminal == MAP_FAILED)
		return NULL;
	terminal->fd = fd;
	terminal->group = getpgrp();
	terminal_set_raw(terminal);
	return terminal;
}

void terminal_close(struct terminal *terminal)
{
	if (!terminal)
		return;
	terminal_restore(terminal);
	munmap(terminal, sizeof(*terminal));
}

struct terminal_watch {
	struct terminal *terminal;
	void (*changed)(void *opaque, bool foreground);
	void *opaque;
	bool foreground; /* as last reported */
	int signal_fd;
	int timer_fd;
	struct event_source *signal_source;
	struct event_source *timer_source;
};

static void look_for(struct terminal_watch *watch, long ns)
{
	const struct itimerspec delay = {.it_value.tv_nsec = ns};

	timerfd_settime(watch->timer_fd, 0, &delay, NULL);
}

/* Finds out whether the VM is in the foreground, and sets the mode for that. */
static void terminal_look(struct terminal_watch *watch)
{
	bool foreground = terminal_is_foreground(watch->terminal);

	if (foreground) {
		terminal_set_raw(watch->terminal);
	} else {
		/* The shell has set its own modes by now. */
		atomic_store(&watch->terminal->raw, false);
		look_for(watch, LOOK_NS);
	}
	if (foreground != watch->foreground) {
		watch->foreground = foreground;
		watch->changed(watch->opaque, foreground);
	}
}

static void timer_expired(void *opaque, uint32_t events)
{
	struct terminal_watch *watch = opaque;
	uint64_t expirations;

	if (read(watch->timer_fd, &expirations, sizeof(expirations)) > 0)
		terminal_look(watch);
}

static void signal_arrived(void *opaque, uint32_t events)
{
	struct terminal_watch *watch = opaque;
	struct signalfd_siginfo info;

	if (read(watch->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTSTP) {
		terminal_restore(watch->terminal);
		/* Stops all threads; execution continues here. */
		raise(SIGSTOP);
	}
	terminal_look(watch);
}

bool terminal_watch_lost(struct terminal_watch *watch)
{
	if (terminal_is_foreground(watch->terminal))
		return false;
	terminal_look(watch);
	return true;
}

struct terminal_watch *terminal_watch_create(struct terminal *terminal, struct event_loop *loop,
					     void (*changed)(void *opaque, bool foreground),
					     void *opaque)
{
	struct terminal_watch *watch = calloc(1, sizeof(*watch));
	sigset_t taken, blocked;

	if (!watch)
		return NULL;
	watch->terminal = terminal;
	watch->changed = changed;
	watch->opaque = opaque;
	watch->foreground = true;
	sigemptyset(&taken);
	sigaddset(&taken, SIGTSTP);
	sigaddset(&taken, SIGCONT);
	blocked = taken;
	/*
	 * With these signals blocked, a read fails instead of stopping the VM, and the log's line
	 * is written.
	 */
	sigaddset(&blocked, SIGTTIN);
	sigaddset(&blocked, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	watch->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	watch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch->signal_fd >= 0 && watch->timer_fd >= 0) {
		watch->signal_source = event_loop_add(loop, watch->signal_fd, EPOLLIN,
						      signal_arrived, watch);
		watch->timer_source = event_loop_add(loop, watch->timer_fd, EPOLLIN, timer_expired,
						     watch);
	}
	if (!watch->signal_source || !watch->timer_source) {
		terminal_watch_destroy(watch);
		return NULL;
	}
	/* On the loop's thread, as everything that follows. */
	if (!terminal_is_foreground(terminal))
		look_for(watch, 1);
	return watch;
}

void terminal_watch_destroy(struct terminal_watch *watch)
{
	if (!watch)
		return;
	event_source_remove(watch->signal_source);
	event_source_remove(watch->timer_source);
	if (watch->signal_fd >= 0)
		close(watch->signal_fd);
	if (watch->timer_fd >= 0)
		close(watch->timer_fd);
	free(watch);
}
