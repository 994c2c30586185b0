// SPDX-License-Identifier: BSD-2-Clause
/* Names: which are good, who has one, and what a killed VMM leaves behind. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/state_dir.h"

static char base[] = "/tmp/symvm-test-XXXXXX";
static char dir[64];

static int setup(void **state)
{
	if (!mkdtemp(base))
		return -1;
	snprintf(dir, sizeof(dir), "%s/state", base);
	return setenv("SYMVM_RUNTIME_DIR", dir, 1);
}

static int teardown(void **state)
{
	rmdir(dir);
	/* Fails, and with it the test, if a case left something behind. */
	return rmdir(base);
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void names_are_checked(void **state)
{
	char longest[65];
	struct error err;

	memset(longest, 'a', sizeof(longest));
	longest[63] = '\0';
	assert_int_equal(state_name_check("a", &err), 0);
	assert_int_equal(state_name_check("Web-1.test_x", &err), 0);
	assert_int_equal(state_name_check(longest, &err), 0);
	longest[63] = 'a';
	longest[64] = '\0';
	assert_int_equal(state_name_check(longest, &err), -EINVAL);
	assert_int_equal(state_name_check("", &err), -EINVAL);
	assert_int_equal(state_name_check(".", &err), -EINVAL);
	assert_int_equal(state_name_check("..", &err), -EINVAL);
	assert_int_equal(state_name_check(".hidden", &err), -EINVAL);
	assert_int_equal(state_name_check("-rf", &err), -EINVAL);
	assert_int_equal(state_name_check("a/b", &err), -EINVAL);
	assert_int_equal(state_name_check("a b", &err), -EINVAL);
	assert_int_equal(state_name_check("a\nb", &err), -EINVAL);
	assert_int_equal(state_name_check("\xc3\xa4", &err), -EINVAL);
}

static void a_name_is_claimed_once(void **state)
{
	struct state_name first, second;
	struct sockaddr_un address;
	struct error err;

	assert_int_equal(state_name_lookup("one", &address, &err), -ENOENT);
	assert_int_equal(state_name_claim(&first, "one", &err), 0);
	assert_int_equal(state_name_claim(&second, "one", &err), -EEXIST);
	assert_non_null(strstr(err.text, "'one'"));
	assert_int_equal(state_name_claim(&second, "two", &err), 0);
	assert_int_equal(state_name_lookup("one", &address, &err), 0);
	assert_string_equal(address.sun_path, first.address.sun_path);
	assert_true(state_name_is_live(first.dir_fd, "one"));
	state_name_release(&second);
	assert_false(exists("two.lock"));
	state_name_release(&first);
	assert_false(exists("one.lock"));
	assert_int_equal(state_name_lookup("one", &address, &err), -ENOENT);
	assert_int_equal(state_name_claim(&first, "one", &err), 0);
	state_name_release(&first);
}

/* A VMM that takes the name, makes its socket and is killed. */
static void leave_stale(const char *name)
{
	int ready[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct state_name own;
		struct error err;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (state_name_claim(&own, name, &err) < 0 ||
		    bind(fd, (struct sockaddr *)&own.address, sizeof(own.address)) < 0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct sockaddr_un address;
	struct state_name own;
	struct error err;

	leave_stale("dead");
	assert_true(exists("dead.sock"));
	assert_true(exists("dead.lock"));
	assert_int_equal(state_name_lookup("dead", &address, &err), -ENOENT);
	assert_int_equal(state_name_claim(&own, "dead", &err), 0);
	assert_false(exists("dead.sock"));
	state_name_release(&own);
	assert_false(exists("dead.lock"));
}

static void the_directory_must_be_ours(void **state)
{
	struct state_name own;
	struct stat status;
	struct error err;

	assert_int_equal(state_name_claim(&own, "one", &err), 0);
	state_name_release(&own);
	assert_int_equal(stat(dir, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(chmod(dir, 0770), 0);
	assert_int_equal(state_name_claim(&own, "one", &err), -EPERM);
	assert_int_equal(chmod(dir, 0700), 0);
	setenv("SYMVM_RUNTIME_DIR", "/nowhere/at/all", 1);
	assert_int_equal(state_name_claim(&own, "one", &err), -ENOENT);
	setenv("SYMVM_RUNTIME_DIR", "/dev/null", 1);
	assert_int_equal(state_name_claim(&own, "one", &err), -ENOTDIR);
	setenv("SYMVM_RUNTIME_DIR", dir, 1);
}

static void a_path_too_long_for_a_socket_is_told(void **state)
{
	struct state_name own;
	struct error err;
	char path[160];

	snprintf(path, sizeof(path), "%s/", base);
	memset(path + strlen(path), 'd', 100);
	path[strlen(base) + 101] = '\0';
	setenv("SYMVM_RUNTIME_DIR", path, 1);
	assert_int_equal(state_name_claim(&own, "one", &err), -ENAMETOOLONG);
	rmdir(path);
	setenv("SYMVM_RUNTIME_DIR", dir, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(a_name_is_claimed_once),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(the_directory_must_be_ours),
		cmocka_unit_test(a_path_too_long_for_a_socket_is_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
