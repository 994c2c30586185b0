#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in the guest of symbiotic.bats: work with checksums, hotplug, forks, and reloading of the
# module, while calls come. Words on the kernel command line: seconds=N, reload=0|1.
seconds=20 reload=1
for word in $(cat /proc/cmdline); do
	case $word in
	seconds=* | reload=*) eval "$word" ;;
	esac
done

# The kernel's messages are on the console when this returns; a tty's output may be cut off by reboot.
say() {
	echo "<0>guest: $*" >/dev/kmsg
}

mount -t debugfs none /sys/kernel/debug
dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
sum=$(sha256sum </tmp/data)

work() {
	while [ ! -e /tmp/stop ]; do
		[ "$(sha256sum </tmp/data)" = "$sum" ] || say WRONG checksum
		true | cat | true
	done
}

hotplug() {
	while [ ! -e /tmp/stop ]; do
		for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
			[ -e "$cpu/online" ] || break
			echo 0 >"$cpu/online"
			sleep 0.3
			echo 1 >"$cpu/online"
		done
		sleep 1
	done
}

reloading() {
	[ "$reload" = 1 ] || return
	while [ ! -e /tmp/stop ]; do
		sleep 4
		rmmod symbiotic && modprobe symbiotic || say WRONG reload
	done
}

work &
work &
hotplug &
reloading &
probes=0
end=$(($(cut -d. -f1 /proc/uptime) + seconds))
while [ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ]; do
	sleep 1
	[ "$reload" = 0 ] || continue
	insmod /etc/symvm/symbiotic_probe.ko && rmmod symbiotic_probe || say WRONG probe
	probes=$((probes + 1))
done
say "$probes probes"
touch /tmp/stop
wait
grep -H . /sys/kernel/symbiotic/*
cat /sys/kernel/debug/symbiotic/calls
# What the kernel said since the module came; boot messages are not ours.
dmesg | sed -n '/symbiotic:/,$p' | grep -E 'WARNING|BUG|Oops|Call Trace|stall|lockup|scheduling while' &&
	say WRONG kernel messages
sleep 2 # for the tty
say done
reboot -f
