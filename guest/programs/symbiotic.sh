#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in the guest of symbiotic.bats: work with checksums, forks, network traffic, hotplug, and
# reloading of the module, while calls come. Until the VMM publishes policy 1, or for so many seconds.
# Words on the kernel command line: seconds=N, the limit; until=policy: it is an error to reach it;
# reload=0|1.
seconds=20 until=seconds reload=1
for word in $(cat /proc/cmdline); do
	case $word in
	seconds=* | until=* | reload=*) eval "$word" ;;
	esac
done

# The kernel's messages are on the console when this returns; a tty's output may be cut off by reboot.
say() {
	echo "<0>guest: $*" >/dev/kmsg
}

mount -t debugfs none /sys/kernel/debug
mkdir /tmp/www
dd if=/dev/urandom of=/tmp/www/data bs=64k count=32 2>/dev/null
sum=$(sha256sum </tmp/www/data)
httpd -h /tmp/www -p 127.0.0.1:80

work() {
	while [ ! -e /tmp/stop ]; do
		[ "$(sha256sum </tmp/www/data)" = "$sum" ] || say WRONG checksum
		true | cat | true
	done
}

forks() {
	while [ ! -e /tmp/stop ]; do
		for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
			(echo "$n" | { read -r got && [ "$got" = "$n" ]; } || say WRONG pipe) &
		done
		wait
		echo f >>/tmp/forks
		sleep 0.2
	done
}

network() {
	while [ ! -e /tmp/stop ]; do
		[ "$(wget -q -O - http://127.0.0.1/data | sha256sum)" = "$sum" ] || say WRONG download
		echo d >>/tmp/downloads
		sleep 0.2
	done
}

hotplug() {
	while [ ! -e /tmp/stop ]; do
		for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
			[ -e "$cpu/online" ] || return
			echo 0 >"$cpu/online" || say WRONG offline
			sleep 0.3
			echo 1 >"$cpu/online" || say WRONG online
			echo h >>/tmp/plugs
		done
		sleep 1
	done
}

reloading() {
	[ "$reload" = 1 ] || return
	while [ ! -e /tmp/stop ]; do
		sleep 3
		rmmod symbiotic && modprobe symbiotic || say WRONG reload
		echo r >>/tmp/reloads
	done
}

# The last words of the VMM, by SymSpy; the file is away while the module is.
told_enough() {
	grep -qx 'policy 0x1' /sys/kernel/symbiotic/host 2>/dev/null
}

count() {
	wc -l <"/tmp/$1"
}

touch /tmp/forks /tmp/downloads /tmp/plugs /tmp/reloads
work &
work &
forks &
network &
hotplug &
reloading &
probes=0
end=$(($(cut -d. -f1 /proc/uptime) + seconds))
while ! told_enough; do
	if [ "$(cut -d. -f1 /proc/uptime)" -ge "$end" ]; then
		[ "$until" = seconds ] || say WRONG: not enough calls in "$seconds" s
		break
	fi
	sleep 1
	[ "$reload" = 0 ] || continue
	insmod /etc/symvm/symbiotic_probe.ko && rmmod symbiotic_probe || say WRONG probe
	probes=$((probes + 1))
done
# As far as the last step of a hibernation and back: registrations go, and come back.
if [ "$reload" = 0 ] && [ "$(cat /sys/kernel/symbiotic/active)" = 1 ]; then
	echo 0 >/sys/module/suspend/parameters/pm_test_delay
	{ echo core >/sys/power/pm_test && echo disk >/sys/power/state; } || say WRONG hibernation
	echo none >/sys/power/pm_test
	grep -qv 'calls 1 page 1 error 0' /sys/kernel/symbiotic/cpus && say WRONG registration after it
	[ "$(sed -n 's/^name //p' /sys/kernel/symbiotic/host)" ] || say WRONG page after it
	insmod /etc/symvm/symbiotic_probe.ko && rmmod symbiotic_probe || say WRONG probe after it
	say slept and woke
fi
touch /tmp/stop
for job in $(jobs -p); do
	wait "$job"
done
say "$probes probes, $(count forks) x 16 forks, $(count downloads) downloads," \
	"$(count plugs) CPUs plugged, $(count reloads) reloads"
grep -H . /sys/kernel/symbiotic/*
cat /sys/kernel/debug/symbiotic/calls
# What the kernel said since the module came; boot messages are not ours.
dmesg | sed -n '/symbiotic:/,$p' | grep -A 12 -E 'WARNING|BUG|Oops|Call Trace|stall|lockup|scheduling while' |
	head -n 60 >/tmp/messages
while read -r line; do
	say WRONG kernel message: "$line"
done </tmp/messages
sleep 2 # for the tty
say "done"
reboot -f
