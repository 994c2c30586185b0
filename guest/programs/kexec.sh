#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in the guest of restart.bats, with calls coming all the time: the first kernel starts itself anew by
# kexec, with the files of this initramfs; the second one must register again and answer.
say() {
	echo "<0>guest: $*" >/dev/kmsg
}

mount -t debugfs none /sys/kernel/debug
insmod /etc/symvm/symbiotic_probe.ko count=0 || say WRONG probe

calls() {
	awk '/^0x/ { sum += $4 } END { print sum + 0 }' /sys/kernel/debug/symbiotic/calls
}

answered() {
	n=0
	until [ "$(calls)" -ge 300 ]; do
		n=$((n + 1))
		[ $n -lt 100 ] || say WRONG: "$(calls)" calls only
		sleep 1
	done
}

answered
if ! grep -qw kexeced /proc/cmdline; then
	find / -xdev -path /boot -prune -o -print | cpio -o -H newc >/tmp/initrd 2>/dev/null
	say the first kernel answered "$(calls)" calls
	/boot/kexec-now /boot/vmlinuz /tmp/initrd "$(cat /proc/cmdline) kexeced"
	say WRONG no kexec
fi
say the second kernel answered "$(calls)" calls
dmesg | sed -n '/symbiotic:/,$p' | grep -E 'WARNING|BUG|Oops|Call Trace|stall|lockup|scheduling while' &&
	say WRONG kernel messages
say "done"
reboot -f
