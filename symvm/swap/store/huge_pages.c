// SPDX-License-Identifier: BSD-2-Clause
#include "swap/store/huge_pages.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SETTING "shmem_enabled"

/* "always within_size [never]": the chosen word, or "". */
static void setting_read(int directory_fd, const char *path, char *word, size_t size)
{
	char text[128] = "", *from, *end;
	int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC);

	word[0] = '\0';
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && (from = strchr(text, '[')) &&
	    (end = strchr(from, ']'))) {
		*end = '\0';
		snprintf(word, size, "%s", from + 1);
	}
	close(fd);
}

/* A memfd has its size from the start, so "within_size" does not limit it. */
static bool is_given(const char *word)
{
	return strcmp(word, "always") == 0 || strcmp(word, "within_size") == 0 ||
	       strcmp(word, "force") == 0;
}

bool swap_huge_pages_find(const char *path, char *name, size_t size)
{
	char whole[16], word[16], file[300];
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool found;

	if (!directory)
		return false;
	setting_read(dirfd(directory), SETTING, whole, sizeof(whole));
	snprintf(name, size, SETTING);
	/* This setting overrules those of each size. */
	found = strcmp(whole, "force") == 0;
	while (!found && (entry = readdir(directory))) {
		if (strncmp(entry->d_name, "hugepages-", 10) != 0)
			continue;
		snprintf(file, sizeof(file), "%s/" SETTING, entry->d_name);
		setting_read(dirfd(directory), file, word, sizeof(word));
		found = is_given(word) || (strcmp(word, "inherit") == 0 && is_given(whole));
		if (found)
			snprintf(name, size, "%s", file);
	}
	/* Hosts without a setting for each size. */
	if (!found && is_given(whole)) {
		snprintf(name, size, SETTING);
		found = true;
	}
	closedir(directory);
	return found;
}
