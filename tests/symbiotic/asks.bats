#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What an operator asks a guest with symbiotic.ko, on each kernel: ps, who, dmesg, call.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# asked VERSION CPUS: boot, and ask for a process that writes to the console and to the kernel log.
asked() {
	local version=$1 cpus=$2
	GUEST_WORDS="symvm.net=off" GUEST_LIMIT=200 guest_run "$version" pvh "$cpus" \
		"cat /sys/kernel/symbiotic/features | sed 's/^/features: /'
		dmesg | grep -E 'WARNING:|BUG: |Oops|Call Trace|deprecated workqueue' && echo WRONG kernel messages
		echo '<4>a word for the log' >/dev/kmsg
		printf teller >/proc/\$\$/comm
		while :; do echo still here; sleep 0.2; done" \
		--name asked --initrd "$SYMVM_CACHE/images/initramfs-symbiotic-$version.cpio" \
		--console "file:$scratch/console" 3>&- &
	guest_pid=$!
	wait_until 120 said "still here"
	run ! said WRONG
	said 'features: symcall spy safepoint'
	"$symvm" ps asked --json | jq -e '.tasks[] | select(.comm == "teller")'
	"$symvm" who asked --port 0x3f8 --count 20 --timeout 60000 --json | tee /dev/stderr |
		jq -e '[.exits[].task.comm] | index("teller")'
	"$symvm" dmesg asked | grep 'a word for the log'
	[[ $("$symvm" dmesg asked) != *'Call Trace'* ]]
	[[ $("$symvm" call asked ping 40 2) == *42* ]]
	"$symvm" stop --force asked
	wait "$guest_pid" || true
	guest_pid=
}

# bats test_tags=soak
@test "7, 4 vCPUs: ps, who, dmesg, call" {
	asked 7 4
}

# bats test_tags=soak
@test "7, 1 vCPU: ps, who, dmesg, call" {
	asked 7 1
}

# bats test_tags=soak
@test "6.1, 4 vCPUs: ps, who, dmesg, call" {
	asked 6.1 4
}

# bats test_tags=soak
@test "6.12, 4 vCPUs: ps, who, dmesg, call" {
	asked 6.12 4
}
