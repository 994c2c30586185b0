// SPDX-License-Identifier: BSD-2-Clause
/* The part of `symvm doctor` that checks the host, except KVM. No probe changes anything. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int probe_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int probe_io_uring(const struct doctor_machine *machine, int value, char *detail,
			  size_t size)
{
	struct io_uring ring;
	int status = io_uring_queue_init(1, &ring, 0);

	if (status == 0)
		io_uring_queue_exit(&ring);
	return status;
}

/* KVM accesses guest memory in kernel mode: a user-mode-only userfaultfd would not suffice. */
static int probe_userfaultfd(const struct doctor_machine *machine, int value, char *detail,
			     size_t size)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC), status = fd < 0 ? -errno : 0;
	struct uffdio_api api = {.api = UFFD_API};

	if (fd < 0) {
		int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

		if (device < 0)
			return status;
		/* USERFAULTFD_IOC_NEW, since Linux 6.1 */
		fd = ioctl(device, _IO(0xAA, 0x00), O_CLOEXEC);
		close(device);
		if (fd < 0)
			return -errno;
	}
	status = ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
	close(fd);
	return status;
}

static int probe_tun(const struct doctor_machine *machine, int value, char *detail, size_t size)
{
	return probe_open("/dev/net/tun");
}

static int probe_vhost_net(const struct doctor_machine *machine, int value, char *detail,
			   size_t size)
{
	return probe_open("/dev/vhost-net");
}

static int probe_vhost_vsock(const struct doctor_machine *machine, int value, char *detail,
			     size_t size)
{
	return probe_open("/dev/vhost-vsock");
}

static int probe_huge_pages(const struct doctor_machine *machine, int value, char *detail,
			    size_t size)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned long pages = 0;

	if (!file)
		return -errno;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	snprintf(detail, size, "%lu free of 2 MiB", pages);
	return pages ? 0 : -ENOMEM;
}

const struct doctor_check doctor_host_checks[] = {
	{"io_uring", DOCTOR_WANTED, "disks",
	 "set sysctl kernel.io_uring_disabled=0, or allow it in this container's seccomp profile",
	 probe_io_uring, 0},
	{"userfaultfd", DOCTOR_OPTIONAL, "the slot store's memory budget (kernel-mode faults)",
	 "set sysctl vm.unprivileged_userfaultfd=1, or give access to /dev/userfaultfd",
	 probe_userfaultfd, 0},
	{"tun", DOCTOR_OPTIONAL, "networking by a tap device", "modprobe tun; allow /dev/net/tun",
	 probe_tun, 0},
	{"vhost-net", DOCTOR_OPTIONAL, "fast networking by a tap device",
	 "modprobe vhost_net; allow /dev/vhost-net", probe_vhost_net, 0},
	{"vhost-vsock", DOCTOR_OPTIONAL, "the vsock device",
	 "modprobe vhost_vsock; allow /dev/vhost-vsock", probe_vhost_vsock, 0},
	{"huge pages", DOCTOR_OPTIONAL, "--memory SIZE,huge",
	 "set sysctl vm.nr_hugepages to the number of 2 MiB pages", probe_huge_pages, 0},
};
const size_t doctor_host_check_count = sizeof(doctor_host_checks) / sizeof(doctor_host_checks[0]);
