// SPDX-License-Identifier: BSD-2-Clause
#include "broker/daemon/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3172656b6f726273ull /* "sbroker1" */
#define SIZE  (sizeof(uint64_t) + ACCOUNTS_VMS_MAX * sizeof(struct ledger_record))

static int file_check(int fd, const char *path, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, -errno, "'%s'", path);
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022))
		return error_set(err, -EPERM,
				 "'%s' is not a file of this user that no other may write to",
				 path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, -EEXIST, "'%s' is in use: a broker runs already", path);
	if (ftruncate(fd, (off_t)SIZE) < 0)
		return error_set_errno(err, -errno, "'%s'", path);
	return 0;
}

static bool is_possible(const struct ledger_record *record)
{
	return record->valid == 1 && memchr(record->name, '\0', sizeof(record->name)) &&
	       record->pid && record->pid < (1u << 30) && record->min &&
	       record->min <= record->granted && record->granted <= record->max;
}

static void records_check(struct ledger *ledger, uint64_t *magic)
{
	if (*magic != MAGIC)
		memset(ledger->records, 0, ACCOUNTS_VMS_MAX * sizeof(*ledger->records));
	*magic = MAGIC;
	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++)
		if (!is_possible(&ledger->records[i]))
			ledger_set(ledger, i, NULL);
}

int ledger_open(struct ledger *ledger, const char *path, struct error *err)
{
	uint64_t *magic;
	int status;

	ledger->records = NULL;
	ledger->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (ledger->fd < 0)
		return error_set_errno(err, -errno, "cannot open '%s'", path);
	status = file_check(ledger->fd, path, err);
	if (status < 0) {
		ledger_close(ledger);
		return status;
	}
	magic = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ledger->fd, 0);
	if (magic == MAP_FAILED) {
		status = -errno;
		ledger_close(ledger);
		return error_set_errno(err, status, "cannot map '%s'", path);
	}
	ledger->records = (struct ledger_record *)(magic + 1);
	records_check(ledger, magic);
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	if (ledger->records)
		munmap((uint64_t *)ledger->records - 1, SIZE);
	if (ledger->fd >= 0)
		close(ledger->fd);
	ledger->records = NULL;
	ledger->fd = -1;
}

void ledger_set(struct ledger *ledger, unsigned index, const struct ledger_record *record)
{
	struct ledger_record *own = &ledger->records[index];

	if (!record) {
		*(volatile uint64_t *)&own->valid = 0;
		return;
	}
	/* The same VM: only its lease changes, by one store. */
	if (own->valid && own->pid == record->pid && own->start == record->start &&
	    strcmp(own->name, record->name) == 0) {
		*(volatile uint64_t *)&own->granted = record->granted;
		return;
	}
	*(volatile uint64_t *)&own->valid = 0;
	atomic_signal_fence(memory_order_seq_cst);
	*own = *record;
	own->valid = 0;
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint64_t *)&own->valid = 1;
}
