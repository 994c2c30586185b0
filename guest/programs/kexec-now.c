// SPDX-License-Identifier: BSD-2-Clause
/* kexec-now KERNEL INITRD WORDS: in a guest, goes on at once with that kernel. See
 * kexec_file_load(2). */
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int kernel = argc == 4 ? open(argv[1], O_RDONLY) : -1;
	int initrd = argc == 4 ? open(argv[2], O_RDONLY) : -1;

	if (kernel < 0 || initrd < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3], 0) < 0 ||
	    reboot(LINUX_REBOOT_CMD_KEXEC) < 0)
		perror("kexec-now");
	return 1;
}
