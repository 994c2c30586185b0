// SPDX-License-Identifier: BSD-2-Clause
/* Spill stores that fail: only the slots that lay there are lost. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest.h"
#include "swap/store/store_internal.h"

#define SIZE   (16 * MIB)
#define BUDGET (4 * MIB)

static uint8_t page[4096], wanted[4096];
static char path[64];

static int make_file(void **state)
{
	strcpy(path, "/tmp/symvm-spill-XXXXXX");
	close(mkstemp(path));
	return 0;
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void write_all(struct guest *guest, uint64_t seed)
{
	for (uint32_t slot = 0; slot < guest->count; slot++) {
		guest_fill(page, seed + slot, slot % 2);
		for (int i = 0; i < 100 && guest_write(guest, slot, page) != 0; i++)
			if (i == 99)
				fail_msg("slot %u cannot be written", slot);
	}
}

/* Slots that were lost; all others must be right. */
static unsigned lost(struct guest *guest, uint64_t seed)
{
	unsigned count = 0;

	for (uint32_t slot = 0; slot < guest->count; slot++) {
		int status = guest_read(guest, slot, page);

		count += status == -EIO;
		guest_fill(wanted, seed + slot, slot % 2);
		if (status == 0)
			assert_memory_equal(page, wanted, sizeof(page));
		else
			assert_int_equal(status, -EIO);
	}
	return count;
}

static void test_file_keeps_contents(void **state)
{
	struct guest guest;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, path);
	write_all(&guest, 1);
	assert_int_equal(lost(&guest, 1), 0);
	assert_true(guest_counter(&guest, "spilled") > 0);
	assert_true(guest_counter(&guest, "spill_reads") > 0);
	guest_destroy(&guest);
}

static void test_file_changed(void **state)
{
	struct guest guest;
	struct swap_usage usage;
	int fd = open(path, O_RDWR);
	uint8_t byte = 0;
	unsigned failed;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, path);
	write_all(&guest, 2);
	sleep_ms(300);
	swap_store_usage(guest.store, &usage);
	assert_true(usage.spilled > 0);
	/* Odd blocks of the second half: the file has one MiB more in front. */
	for (uint32_t slot = guest.count / 2; slot < guest.count; slot += 2) {
		off_t at = (off_t)MIB + (off_t)slot * 4096 + 100;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	failed = lost(&guest, 2);
	assert_int_equal(guest_counter(&guest, "spill_mismatches"), failed);
	assert_int_equal(guest_counter(&guest, "failed"), failed);
	/* A write makes the slot usable again. */
	write_all(&guest, 3);
	assert_int_equal(lost(&guest, 3), 0);
	close(fd);
	guest_destroy(&guest);
}

static void test_file_truncated(void **state)
{
	struct guest guest;
	unsigned failed;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_NONE, path);
	write_all(&guest, 4);
	sleep_ms(300);
	assert_int_equal(truncate(path, SIZE / 2), 0);
	failed = lost(&guest, 4);
	assert_true(failed > 0 && failed < guest.count * 3 / 4);
	guest_destroy(&guest);
}

static void test_file_is_protected(void **state)
{
	const struct swap_config config = {.size = MIB, .spill = path};
	struct swap_store *store, *second;
	struct error err;
	struct stat file;
	struct log log;

	log_init(&log, STDERR_FILENO, LOG_LEVEL_ERROR);
	assert_int_equal(swap_store_create(&config, &log, &store, &err), 0);
	assert_int_equal(swap_store_create(&config, &log, &second, &err), -EBUSY);
	swap_store_destroy(store);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_size, 0);
}

static _Atomic bool disk_full;

static int full_read(struct spill *spill, unsigned lane, uint64_t block, void *data, unsigned count)
{
	return -EIO; /* nothing was ever written before the disk had room */
}

static int full_write(struct spill *spill, unsigned lane, uint64_t block, const void *data,
		      unsigned count)
{
	return disk_full ? -ENOSPC : -EFBIG;
}

static unsigned lines_with(const char *file, const char *words)
{
	FILE *stream = fopen(file, "r");
	char line[512];
	unsigned count = 0;

	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream))
		count += strstr(line, words) != NULL;
	fclose(stream);
	return count;
}

/* Writes fail for hours: all contents stay, the guest gets no room, the log has a line. */
static void test_disk_full(void **state)
{
	static const struct spill_ops full_ops = {.read = full_read, .write = full_write};
	const struct spill_ops *real;
	char log[] = "/tmp/symvm-log-XXXXXX";
	struct guest guest;
	uint32_t written = 0;

	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_NONE, path);
	log_init(&guest.log, mkstemp(log), LOG_LEVEL_INFO);
	real = guest.store->spill->ops;
	guest.store->spill->ops = &full_ops;
	disk_full = true;
	for (uint32_t slot = 0; slot < guest.count; slot++) {
		guest_fill(page, 7 + slot, false);
		if (guest_write(&guest, slot, page) < 0)
			break;
		written++;
	}
	assert_in_range(written, 1, guest.count - 1);
	while (guest_counter(&guest, "spill_errors") < 5)
		assert_true(guest_write(&guest, guest.count - 1, page) <= 0);
	for (uint32_t slot = 0; slot < written; slot++) {
		guest_fill(wanted, 7 + slot, false);
		assert_int_equal(guest_read(&guest, slot, page), 0);
		assert_memory_equal(page, wanted, sizeof(page));
	}
	assert_int_equal(guest_counter(&guest, "failed"), 0);
	assert_int_equal(lines_with(log, "cannot write: No space left"), 1);
	guest.store->spill->ops = real;
	guest_destroy(&guest);
	close(guest.log.fd);
	unlink(log);
}

/* Starts an nbdkit that serves memory, and puts its address into @uri. 0: there is no nbdkit. */
static pid_t nbd_start(char *uri, size_t size, char *socket)
{
	pid_t pid;

	strcpy(socket, "/tmp/symvm-nbd-XXXXXX");
	if (!mkdtemp(socket))
		return 0;
	strcat(socket, "/s");
	snprintf(uri, size, "nbd+unix:///?socket=%s", socket);
	pid = fork();
	if (pid == 0) {
		execlp("nbdkit", "nbdkit", "-f", "-U", socket, "memory", "32M", NULL);
		_exit(127);
	}
	for (int i = 0; i < 100 && access(socket, F_OK) < 0; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return 0;
		sleep_ms(50);
	}
	return pid;
}

static void nbd_end(pid_t pid, char *socket)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(socket);
	*strrchr(socket, '/') = '\0';
	rmdir(socket);
}

static void test_nbd_server(void **state)
{
	char uri[128], socket[64];
	pid_t pid = nbd_start(uri, sizeof(uri), socket);
	struct guest guest;

	if (!pid)
		skip();
	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, uri);
	write_all(&guest, 5);
	assert_int_equal(lost(&guest, 5), 0);
	assert_true(guest_counter(&guest, "spilled") > 0);
	guest_destroy(&guest);
	nbd_end(pid, socket);
}

static void test_nbd_server_dies(void **state)
{
	char uri[128], socket[64];
	pid_t pid = nbd_start(uri, sizeof(uri), socket);
	struct swap_usage usage;
	struct guest guest;
	unsigned failed;

	if (!pid)
		skip();
	guest_create(&guest, SIZE, BUDGET, SWAP_CODEC_LZ4, uri);
	write_all(&guest, 6);
	sleep_ms(300);
	swap_store_usage(guest.store, &usage);
	assert_true(usage.spilled > 0);
	nbd_end(pid, socket);
	failed = lost(&guest, 6);
	assert_true(failed > 0 && failed <= usage.spilled / 4096);
	guest_destroy(&guest);
}

struct reader {
	struct spill *spill;
	int status;
};

static void *read_thread(void *opaque)
{
	static uint8_t block[SPILL_BLOCK] __attribute__((aligned(4096)));
	struct reader *reader = opaque;

	reader->status = reader->spill->ops->read(reader->spill, 0, 0, block, 1);
	return NULL;
}

/* A server that does not answer any more: a waiter learns of the end, not of a time-out. */
static void test_nbd_server_hangs(void **state)
{
	char uri[128], socket[64];
	pid_t pid = nbd_start(uri, sizeof(uri), socket);
	struct reader reader;
	struct error err;
	pthread_t thread;

	if (!pid)
		skip();
	assert_int_equal(spill_open(uri, 256, &reader.spill, &err), 0);
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(pthread_create(&thread, NULL, read_thread, &reader), 0);
	sleep_ms(200);
	reader.spill->ops->stop(reader.spill);
	pthread_join(thread, NULL);
	assert_int_equal(reader.status, -ECANCELED);
	reader.spill->ops->close(reader.spill);
	kill(pid, SIGCONT);
	nbd_end(pid, socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file_keeps_contents, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_file_changed, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_file_truncated, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_file_is_protected, make_file, remove_file),
		cmocka_unit_test_setup_teardown(test_disk_full, make_file, remove_file),
		cmocka_unit_test(test_nbd_server),
		cmocka_unit_test(test_nbd_server_hangs),
		cmocka_unit_test(test_nbd_server_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
