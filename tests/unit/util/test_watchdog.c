// SPDX-License-Identifier: BSD-2-Clause
/* The watchdog ends a process whose main thread is stuck, with the status and words of its owner.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/watchdog.h"

static _Atomic unsigned signals;
static struct watchdog *dog;

static void expired(void *opaque, const char *phase)
{
	_exit(phase && strcmp(phase, "the disk") == 0 ? 42 : 43);
}

static void signalled(void *opaque, unsigned number)
{
	if (atomic_fetch_add(&signals, 1) == 1)
		watchdog_arm(dog, 10);
}

static struct watchdog *create(int signal_fd)
{
	const struct watchdog_config config = {
		.expired = expired, .signalled = signalled, .signal_fd = signal_fd};

	assert_int_equal(watchdog_create(&config, &dog), 0);
	return dog;
}

/* The exit status of a child that runs @function and then hangs with a lock held. */
static int status_of(void (*function)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

		function();
		pthread_mutex_lock(&lock);
		pthread_mutex_lock(&lock);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void arm_and_hang(void)
{
	struct watchdog *watchdog = create(-1);

	watchdog_phase(watchdog, "a vCPU");
	watchdog_arm(watchdog, 50);
	/* Later moments do not move an earlier one. */
	watchdog_arm(watchdog, 1000000);
	watchdog_phase(watchdog, "the disk");
}

static void a_stuck_process_ends_in_time(void **state)
{
	assert_int_equal(status_of(arm_and_hang), 42);
}

static void arm_late_and_early(void)
{
	struct watchdog *watchdog = create(-1);

	watchdog_arm(watchdog, 1000000);
	usleep(20000);
	watchdog_arm(watchdog, 10);
}

static void an_earlier_moment_holds(void **state)
{
	assert_int_equal(status_of(arm_late_and_early), 43);
}

static void hear_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	create(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
	kill(getpid(), SIGTERM);
	while (atomic_load(&signals) != 1)
		usleep(1000);
	kill(getpid(), SIGTERM);
}

static void signals_are_heard_while_the_main_thread_hangs(void **state)
{
	assert_int_equal(status_of(hear_signals), 43);
}

static int whose_thread(void *opaque)
{
	*(pthread_t *)opaque = pthread_self();
	return -EXDEV;
}

static void a_function_runs_on_its_thread_and_it_ends_in_order(void **state)
{
	struct watchdog *watchdog = create(-1);
	pthread_t thread = pthread_self();

	assert_int_equal(watchdog_call(watchdog, whose_thread, &thread), -EXDEV);
	assert_false(pthread_equal(thread, pthread_self()));
	watchdog_arm(watchdog, 1000000);
	watchdog_destroy(watchdog);
	watchdog_destroy(NULL);
	watchdog_phase(NULL, "nothing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stuck_process_ends_in_time),
		cmocka_unit_test(an_earlier_moment_holds),
		cmocka_unit_test(signals_are_heard_while_the_main_thread_hangs),
		cmocka_unit_test(a_function_runs_on_its_thread_and_it_ends_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
