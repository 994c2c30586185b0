// SPDX-License-Identifier: BSD-2-Clause
/* Names: the good ones, the VM that has one, and the files that a killed VMM leaves behind. */
#include <errno.h>
#include <fcntl.h>
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

#include "control/state_find.h"

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

/* Open @suffix of the name "one" as a VM does at its start. */
static int open_kept(struct state_name *name, const char *suffix)
{
	char path[STATE_PATH_MAX], expected[128];
	struct stat status;
	struct error err;
	int fd = state_name_open_kept(name, suffix, path, sizeof(path), &err);

	assert_true(fd >= 0);
	snprintf(expected, sizeof(expected), "%s/one%s", dir, suffix);
	assert_string_equal(path, expected);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	return fd;
}

static void only_files_with_contents_are_kept(void **state)
{
	struct state_name name;
	struct error err;
	char path[128];
	int fd;

	for (unsigned with_guard = 0; with_guard < 2; with_guard++) {
		assert_int_equal(state_name_claim(&name, "one", &err), 0);
		close(open_kept(&name, ".vmcore"));
		fd = open_kept(&name, ".panic");
		assert_int_equal(write(fd, "words", 5), 5);
		close(fd);
		if (with_guard)
			assert_int_equal(state_name_guard(&name, &err), 0);
		state_name_release(&name);
		assert_false(exists("one.lock"));
		assert_false(exists("one.vmcore"));
		assert_true(exists("one.panic"));
	}
	/* The next VM of that name finds it, and leaves it as it is. */
	assert_int_equal(state_name_claim(&name, "one", &err), 0);
	fd = open_kept(&name, ".panic");
	assert_int_equal(lseek(fd, 0, SEEK_END), 5);
	close(fd);
	/* No file of another kind. */
	snprintf(path, sizeof(path), "%s/one.vmcore", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(state_name_open_kept(&name, ".vmcore", path, sizeof(path), &err), -EINVAL);
	assert_non_null(strstr(err.text, "not a regular file"));
	state_name_release(&name);
	unlink(path);
	snprintf(path, sizeof(path), "%s/one.panic", dir);
	assert_int_equal(unlink(path), 0);
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

/*
 * A killed VMM closes its files one after the other: here the guard's pipe first, and the lock a
 * fifth of a second later.
 */
static void a_guard_waits_for_the_lock(void **state)
{
	struct state_name name;
	struct error err;
	pid_t guard;

	assert_int_equal(state_name_claim(&name, "killed", &err), 0);
	assert_int_equal(state_name_guard(&name, &err), 0);
	assert_true(exists("killed.lock"));
	guard = name.guard.pid;
	close(name.guard.fd);
	usleep(200000);
	assert_true(exists("killed.lock"));
	close(name.lock_fd);
	assert_int_equal(waitpid(guard, NULL, 0), guard);
	assert_false(exists("killed.lock"));
	close(name.name_fd);
	close(name.dir_fd);
}

/* As rm -rf, a cleaner of old files or logind's end of a session does. */
static void a_removed_name_is_noticed_and_stays_taken(void **state)
{
	struct state_name first, second;
	struct sockaddr_un address;
	char path[128];
	struct error err;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(state_name_claim(&first, "lost", &err), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&first.address, sizeof(first.address)), 0);
	state_name_watch(&first);
	assert_true(state_name_is_present(&first));
	snprintf(path, sizeof(path), "%s/lost.sock", dir);
	assert_int_equal(unlink(path), 0);
	assert_false(state_name_is_present(&first));
	snprintf(path, sizeof(path), "%s/lost.lock", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_false(state_name_is_present(&first));
	assert_int_equal(state_name_claim(&second, "lost", &err), -EEXIST);
	snprintf(path, sizeof(path), "process %d", (int)getpid());
	assert_non_null(strstr(err.text, path));
	assert_false(exists("lost.lock"));
	/* A lookup says which process has it. */
	assert_int_equal(state_name_lookup("lost", &address, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	state_name_release(&first);
	assert_int_equal(state_name_lookup("lost", &address, &err), -ENOENT);
	assert_null(strstr(err.text, path));
	assert_int_equal(state_name_claim(&second, "lost", &err), 0);
	state_name_release(&second);
	close(fd);
}

static void a_release_leaves_files_of_others_alone(void **state)
{
	struct state_name own;
	char path[128];
	struct error err;
	int fd;

	assert_int_equal(state_name_claim(&own, "mine", &err), 0);
	snprintf(path, sizeof(path), "%s/mine.lock", dir);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	state_name_release(&own);
	assert_true(exists("mine.lock"));
	unlink(path);
}

static void names_of_two_directories_are_two(void **state)
{
	struct state_name first, second;
	struct error err;
	char other[128];

	assert_int_equal(state_name_claim(&first, "same", &err), 0);
	snprintf(other, sizeof(other), "%s/other", base);
	setenv("SYMVM_RUNTIME_DIR", other, 1);
	assert_int_equal(state_name_claim(&second, "same", &err), 0);
	state_name_release(&second);
	setenv("SYMVM_RUNTIME_DIR", dir, 1);
	state_name_release(&first);
	assert_int_equal(rmdir(other), 0);
}

/* Runs @check as another user, without SYMVM_RUNTIME_DIR. Needs root, as the lab has. */
static void as_user(uid_t uid, int (*check)(void))
{
	int status = -1;
	pid_t child;

	if (geteuid() != 0)
		skip();
	child = fork();
	if (child == 0) {
		unsetenv("SYMVM_RUNTIME_DIR");
		if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(100);
		_exit(check());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define USER	 54321u
#define FALLBACK "/tmp/symvm-54321"

static char xdg[128];

static int check_user_places(void)
{
	char places[STATE_PLACES_MAX][STATE_PATH_MAX];
	char path[STATE_PATH_MAX];
	struct error err;
	int fd;

	/* Another's $XDG_RUNTIME_DIR, as su(1) leaves it. */
	setenv("XDG_RUNTIME_DIR", base, 1);
	if (state_dir_places(USER, places) != 2 ||
	    strcmp(places[0], "/run/user/54321/symvm") != 0 || strcmp(places[1], FALLBACK) != 0)
		return 1;
	setenv("XDG_RUNTIME_DIR", xdg, 1);
	if (state_dir_places(USER, places) != 3 || strncmp(places[0], xdg, strlen(xdg)) != 0)
		return 2;
	/* Another user's places do not follow our environment. */
	if (state_dir_places(0, places) != 1 || strcmp(places[0], "/run/symvm") != 0)
		return 3;
	unsetenv("XDG_RUNTIME_DIR");
	fd = state_dir_open(true, path, sizeof(path), &err);
	if (fd < 0 || strcmp(path, FALLBACK) != 0)
		return 4;
	close(fd);
	return rmdir(FALLBACK) == 0 ? 0 : 5;
}

static int check_fallback_is_refused(void)
{
	char path[STATE_PATH_MAX];
	struct error err;

	unsetenv("XDG_RUNTIME_DIR");
	return state_dir_open(true, path, sizeof(path), &err) < 0 ? 0 : 1;
}

static int check_one_name_in_all_places(void)
{
	struct state_name first, second;
	struct sockaddr_un address;
	struct error err;
	char path[256];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	setenv("XDG_RUNTIME_DIR", xdg, 1);
	if (state_name_claim(&first, "vm", &err) < 0 ||
	    bind(fd, (struct sockaddr *)&first.address, sizeof(first.address)) < 0 ||
	    listen(fd, 1) < 0)
		return 1;
	/* As in cron or a later login: the directory is found, and used. */
	unsetenv("XDG_RUNTIME_DIR");
	if (state_name_claim(&second, "vm", &err) != -EEXIST)
		return 2;
	if (state_name_lookup("vm", &address, &err) < 0 ||
	    strcmp(address.sun_path, first.address.sun_path) != 0)
		return 3;
	state_name_release(&first);
	snprintf(path, sizeof(path), "%s/symvm", xdg);
	rmdir(FALLBACK);
	return rmdir(path) == 0 ? 0 : 4;
}

static void users_have_places_of_their_own(void **state)
{
	assert_int_equal(chmod(base, 0755), 0);
	snprintf(xdg, sizeof(xdg), "%s/xdg", base);
	assert_int_equal(mkdir(xdg, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(xdg, USER, USER), 0);
	as_user(USER, check_user_places);
	/* symvm does not trust a directory that another user made at the predictable place. */
	assert_int_equal(mkdir(FALLBACK, 0777), 0);
	as_user(USER, check_fallback_is_refused);
	assert_int_equal(rmdir(FALLBACK), 0);
	assert_int_equal(symlink(xdg, FALLBACK), 0);
	as_user(USER, check_fallback_is_refused);
	assert_int_equal(unlink(FALLBACK), 0);
	as_user(USER, check_one_name_in_all_places);
	assert_int_equal(rmdir(xdg), 0);
}

static void root_does_not_follow_xdg(void **state)
{
	char places[STATE_PLACES_MAX][STATE_PATH_MAX];

	if (geteuid() != 0)
		skip();
	unsetenv("SYMVM_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", base, 1);
	assert_int_equal(state_dir_places(0, places), 1);
	assert_string_equal(places[0], "/run/symvm");
	setenv("SYMVM_RUNTIME_DIR", dir, 1);
}

static void other_users_vms_have_addresses(void **state)
{
	struct error err;

	assert_int_equal(state_find_check("web", &err), 0);
	assert_int_equal(state_find_check("root/web", &err), 0);
	assert_int_equal(state_find_check("54321/web", &err), 0);
	assert_int_equal(state_find_check("nobody-has-this/web", &err), -EINVAL);
	assert_int_equal(state_find_check("root/../web", &err), -EINVAL);
	assert_int_equal(state_find_check("/web", &err), -EINVAL);
	assert_int_equal(state_find_check("root/", &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(a_name_is_claimed_once),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(the_directory_must_be_ours),
		cmocka_unit_test(a_path_too_long_for_a_socket_is_told),
		cmocka_unit_test(a_guard_waits_for_the_lock),
		cmocka_unit_test(a_removed_name_is_noticed_and_stays_taken),
		cmocka_unit_test(a_release_leaves_files_of_others_alone),
		cmocka_unit_test(only_files_with_contents_are_kept),
		cmocka_unit_test(names_of_two_directories_are_two),
		cmocka_unit_test(users_have_places_of_their_own),
		cmocka_unit_test(root_does_not_follow_xdg),
		cmocka_unit_test(other_users_vms_have_addresses),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
