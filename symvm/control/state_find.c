// SPDX-License-Identifier: BSD-2-Clause
/*
 * Finds live VMs. First it searches the user's places for lock files that are held. Then it reads
 * the kernel's list of sockets: a path whose directory is named "symvm" leads to another directory
 * to search, and an abstract socket's name shows a VM whose files were removed. Every directory is
 * checked for its owner and mode before it is searched.
 */
#include "control/state_find.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/vm.h"
#include "util/keyval.h"

#define SOCKET_LIST "/proc/net/unix"
#define NAMED_DIR   "/symvm"
#define SUFFIX	    ".sock"

/* One VM that was found. */
struct entry {
	uid_t uid;
	pid_t pid;
	char *dir; /* NULL: its files were removed */
	char name[VM_NAME_MAX + 1];
};

struct search {
	bool all; /* of all users, otherwise of @uid */
	uid_t uid;
	const char *name; /* only this one, or NULL */
	const char *dir;  /* only in this directory: $SYMVM_RUNTIME_DIR; or NULL */
	struct entry *entries;
	size_t count;
	bool out_of_memory;
};

/* Splits "USER/NAME"; a NAME alone belongs to this user. */
static int parse_address(const char *address, uid_t *uid, const char **name, struct error *err)
{
	const char *slash = strchr(address, '/');
	const struct passwd *user;
	char text[64];
	uint64_t number;

	*uid = geteuid();
	*name = address;
	if (!slash)
		return 0;
	*name = slash + 1;
	snprintf(text, sizeof(text), "%.*s", (int)(slash - address < 63 ? slash - address : 63),
		 address);
	user = getpwnam(text);
	if (user)
		*uid = user->pw_uid;
	else if (keyval_parse_number(text, &number) == 0 && number < UINT32_MAX)
		*uid = (uid_t)number;
	else
		return error_set(err, -EINVAL, "VM name '%s': there is no user '%s'", address,
				 text);
	return 0;
}

int state_find_check(const char *address, struct error *err)
{
	const char *name;
	uid_t uid;
	int status = parse_address(address, &uid, &name, err);

	return status < 0 ? status : state_name_check(name, err);
}

static void add_entry(struct search *search, uid_t uid, const char *dir, const char *name,
		      pid_t pid)
{
	struct entry *grown;

	for (size_t i = 0; i < search->count; i++)
		if (search->entries[i].uid == uid && strcmp(search->entries[i].name, name) == 0)
			return;
	grown = realloc(search->entries, (search->count + 1) * sizeof(*grown));
	if (!grown) {
		search->out_of_memory = true;
		return;
	}
	search->entries = grown;
	grown += search->count;
	*grown = (struct entry){.uid = uid, .pid = pid, .dir = dir ? strdup(dir) : NULL};
	snprintf(grown->name, sizeof(grown->name), "%s", name);
	if (dir && !grown->dir)
		search->out_of_memory = true;
	else
		search->count++;
}

/* The name in "NAME.lock", if it is a VM's. */
static bool name_of_lock(const char *file, char name[VM_NAME_MAX + 1])
{
	size_t length = strlen(file);

	if (length <= 5 || length - 5 > VM_NAME_MAX || strcmp(file + length - 5, ".lock") != 0)
		return false;
	memcpy(name, file, length - 5);
	name[length - 5] = '\0';
	return state_name_check(name, NULL) == 0;
}

/* Adds the live VMs of the directory behind @fd, which this closes. */
static void search_fd(struct search *search, int fd, uid_t uid, const char *path)
{
	DIR *dir = fdopendir(fd);
	struct dirent *file;

	if (!dir) {
		close(fd);
		return;
	}
	while ((file = readdir(dir))) {
		char name[VM_NAME_MAX + 1];

		if (name_of_lock(file->d_name, name) &&
		    (!search->name || strcmp(name, search->name) == 0) &&
		    state_name_is_live(dirfd(dir), name))
			add_entry(search, uid, path, name, 0);
	}
	closedir(dir);
}

/* Adds the VMs of a directory that may not exist, or may not be trusted. */
static int search_dir(struct search *search, const char *path, bool follow)
{
	struct stat status;
	int fd;

	if (stat(path, &status) < 0)
		return -errno;
	if (!search->all && status.st_uid != search->uid)
		return -EPERM;
	fd = state_dir_open_at(path, status.st_uid, follow);
	if (fd < 0)
		return fd;
	search_fd(search, fd, status.st_uid, path);
	return 0;
}

static void search_glob(struct search *search, const char *pattern)
{
	glob_t found;

	if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			search_dir(search, found.gl_pathv[i], false);
	globfree(&found);
}

/* Cuts the socket off its path. True if its directory is named "symvm". */
static bool cut_to_dir(char *path)
{
	size_t length = strlen(path);
	char *slash = strrchr(path, '/');

	if (path[0] != '/' || length <= strlen(SUFFIX) ||
	    strcmp(path + length - strlen(SUFFIX), SUFFIX) != 0)
		return false;
	*slash = '\0';
	slash = strrchr(path, '/');
	return slash && strcmp(slash, NAMED_DIR) == 0;
}

/* Parses "@symvm/UID/NAME" or, if one directory is searched, "@symvm/UID-HASH/NAME". */
static bool parse_abstract(const struct search *search, const char *text, unsigned *uid,
			   const char **name)
{
	struct sockaddr_un address;

	if (sscanf(text, "@symvm/%u", uid) != 1 || (!search->all && *uid != search->uid))
		return false;
	state_name_abstract(&address, *uid, search->dir, "");
	*name = text + 1 + strlen(address.sun_path + 1);
	return strncmp(text + 1, address.sun_path + 1, (size_t)(*name - text - 1)) == 0 &&
	       state_name_check(*name, NULL) == 0 &&
	       (!search->name || strcmp(*name, search->name) == 0);
}

/* A VM whose files were removed still holds its name. */
static void search_abstract(struct search *search, const char *text)
{
	struct sockaddr_un address;
	struct ucred peer = {0};
	socklen_t length, size = sizeof(peer);
	const char *name;
	unsigned uid;
	int fd;

	if (!parse_abstract(search, text, &uid, &name))
		return;
	for (size_t i = 0; i < search->count; i++)
		if (search->entries[i].uid == uid && strcmp(search->entries[i].name, name) == 0)
			return;
	length = state_name_abstract(&address, uid, search->dir, name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&address, length) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == uid)
		add_entry(search, uid, NULL, name, peer.pid);
	close(fd);
}

/* Checks each socket that the kernel knows (proc(5)): abstract ones, or ones in directories. */
static void each_socket(struct search *search, bool abstract)
{
	FILE *file = fopen(SOCKET_LIST, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;

	if (!file)
		return;
	while ((length = getline(&line, &size, file)) > 0) {
		int at = 0;

		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %n", &at);
		if (at == 0)
			continue;
		if (abstract)
			search_abstract(search, line + at);
		else if (cut_to_dir(line + at))
			search_dir(search, line + at, false);
	}
	free(line);
	fclose(file);
}

/* Searches $SYMVM_RUNTIME_DIR alone. */
static int search_own_dir(struct search *search, struct error *err)
{
	char path[STATE_PATH_MAX], *whole;
	int fd = state_dir_open(false, path, sizeof(path), err);

	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0)
		search_fd(search, fd, search->uid, path);
	whole = realpath(path, NULL);
	search->dir = whole ? whole : path;
	each_socket(search, true);
	search->dir = NULL;
	free(whole);
	return 0;
}

static int search_run(struct search *search, struct error *err)
{
	char places[STATE_PLACES_MAX][STATE_PATH_MAX];
	const char *own = getenv("SYMVM_RUNTIME_DIR");
	bool is_us = search->uid == geteuid();
	size_t count;

	if (own && *own && is_us && !search->all)
		return search_own_dir(search, err);
	count = state_dir_places(search->uid, places);
	for (size_t i = 0; i < count; i++) {
		int status = search_dir(search, places[i], own && *own && is_us);

		if (status == -EACCES && !is_us)
			return error_set(err, status, "only root may reach the VMs of that user");
	}
	if (search->all) {
		search_dir(search, "/run/symvm", false);
		search_glob(search, "/run/user/*/symvm");
		search_glob(search, "/tmp/symvm-*");
	}
	each_socket(search, false);
	each_socket(search, true);
	return search->out_of_memory ? error_set(err, -ENOMEM, "out of memory") : 0;
}

static void search_free(struct search *search)
{
	for (size_t i = 0; i < search->count; i++)
		free(search->entries[i].dir);
	free(search->entries);
}

static int take_found(const struct search *search, const char *address, struct state_found *found,
		      struct error *err)
{
	const struct entry *entry = search->entries;

	if (search->count == 0)
		return error_set(err, -ENOENT, "no VM named '%s' is running", address);
	if (!entry->dir)
		return error_set(err, -ENOENT,
				 "'%s' runs as process %d, but its state files were removed; "
				 "SIGTERM stops it",
				 address, (int)entry->pid);
	found->dir_fd = state_dir_open_at(entry->dir, entry->uid, true);
	if (found->dir_fd < 0)
		return error_set_errno(err, found->dir_fd, "cannot open '%s'", entry->dir);
	found->uid = entry->uid;
	snprintf(found->dir, sizeof(found->dir), "%s", entry->dir);
	return 0;
}

int state_find(const char *address, struct state_found *found, struct error *err)
{
	struct search search = {0};
	int status = parse_address(address, &search.uid, &search.name, err);

	if (status == 0)
		status = state_name_check(search.name, err);
	if (status < 0)
		return status;
	found->name = search.name;
	status = search_run(&search, err);
	if (status == 0)
		status = take_found(&search, address, found, err);
	search_free(&search);
	return status;
}

int state_name_lookup(const char *name, struct sockaddr_un *address, struct error *err)
{
	struct state_found found;
	int status = state_find(name, &found, err);

	if (status < 0)
		return status;
	close(found.dir_fd);
	return state_name_address(address, found.dir, found.name, err);
}

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	return strcmp(a->name, b->name);
}

int state_find_each(bool all, state_found_callback callback, void *opaque, struct error *err)
{
	struct search search = {.all = all, .uid = geteuid()};
	int status = search_run(&search, err);

	if (search.count)
		qsort(search.entries, search.count, sizeof(*search.entries), compare_entries);
	for (size_t i = 0; i < search.count && status == 0; i++)
		callback(opaque, search.entries[i].uid, search.entries[i].dir,
			 search.entries[i].name, search.entries[i].pid);
	search_free(&search);
	return status;
}
