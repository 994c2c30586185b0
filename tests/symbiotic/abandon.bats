#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Calls whose handler does not return in time: Linux continues.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# The guest's script. Three times, during other work each time, the VMM gives a call up. After each call
# the guest must be able to fork and sleep, and to load the module again, which switches calls on again.
guest_script() {
	cat <<'SCRIPT'
mount -t debugfs none /sys/kernel/debug
probe() { insmod /etc/symvm/symbiotic_probe.ko count=0; }
modprobe symbiotic
probe || exit 1
idle() { sleep 1000; }
busy() { while :; do :; done; }
kernel() { dd if=/dev/zero of=/dev/null bs=1M 2>/dev/null; }
for work in idle busy kernel; do
	$work &
	pid=$!
	echo "ready: $work"
	until grep -qx 'abandoned 1' /sys/kernel/debug/symbiotic/calls; do sleep 0.2; done
	for n in 1 2 3 4 5 6 7 8; do (true | cat); sleep 0.1; done
	kill $pid
	rmmod symbiotic_probe && rmmod symbiotic && modprobe symbiotic && probe && echo "well: $work"
done
dmesg | sed -n '/symbiotic:/,$p' | grep -E 'WARNING|BUG|Oops|Call Trace|stall|lockup|scheduling while' &&
	echo WRONG kernel
echo all well
SCRIPT
}

# given_up VERSION: test calls that are given up.
given_up() {
	local work
	lab/limit 200 "$symvm" run --name gone --kernel "$(guest_kernel "$1" pvh)" --memory 256M \
		--initrd "$SYMVM_CACHE/images/initramfs-symbiotic-$1.cpio" \
		--append "$(guest_words "$(guest_script)" symvm.net=off)" \
		</dev/null >"$scratch/console" 2>"$scratch/err" 3>&- &
	guest_pid=$!
	wait_until 60 test -e "$scratch/console"
	for work in idle busy kernel; do
		wait_until 60 said "ready: $work" || { cat "$scratch/console" && return 1; }
		# The probe's handler takes the number of ms that the call names.
		run "$symvm" call gone 0x80 1900
		echo "$output"
		[ "$status" -ne 0 ]
		wait_until 30 said "well: $work" || { cat "$scratch/console" && return 1; }
	done
	wait "$guest_pid" || { cat "$scratch/console" && return 1; }
	guest_pid=
	said 'all well'
	run ! grep WRONG -B 20 "$scratch/console"
}

@test "6.1: calls that are given up, while the guest is idle, in user mode and in the kernel" {
	given_up 6.1
}

# bats test_tags=soak
@test "6.12: calls that are given up, while the guest is idle, in user mode and in the kernel" {
	given_up 6.12
}
