#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What is left of a guest whose kernel panicked: the report, the dump, the VM that is kept.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

vmcore=$SYMVM_ROOT/tests/lib/vmcore

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
	mkdir -m 700 "$SYMVM_RUNTIME_DIR"
}

# panic_run COMMAND [SYMVM OPTION]...: boot a guest with the module that runs COMMAND, and wait for its end.
panic_run() {
	local command=$1
	shift
	lab/limit "${GUEST_LIMIT:-240}" "$symvm" run --name dead --cpus 2 --memory 256M \
		--kernel "$(guest_kernel 6.1 pvh)" --jail trap \
		--initrd "$SYMVM_CACHE/images/initramfs-symbiotic-6.1.cpio" \
		--append "$(guest_words "$command" symvm.net=off)" "$@" </dev/null
}

# panic_start COMMAND [SYMVM OPTION]...: the same in the background, its console and log in $scratch/console.
panic_start() {
	panic_run "$@" >"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
}

# guest_ended STATUS: check that the guest started last ended with that status.
guest_ended() {
	local status=0
	wait "$guest_pid" || status=$?
	guest_pid=''
	[ "$status" -eq "$1" ] || {
		cat "$scratch/console"
		echo "status $status instead of $1"
		return 1
	}
}

is_panicked() {
	[ "$("$symvm" info dead --json 2>/dev/null | jq -r .state)" = panicked ]
}

crash='echo c >/proc/sysrq-trigger'

@test "a panic leaves a report: words, tasks, stacks, log and console" {
	run -3 panic_run "$crash"
	local report=$SYMVM_RUNTIME_DIR/dead.panic
	[[ $output == *"the guest's kernel panicked: sysrq triggered crash (report: $report)"* ]]
	[ "$(ls -A "$SYMVM_RUNTIME_DIR")" = dead.panic ]
	[ "$(stat -c %a "$report")" = 600 ]
	[ "$(head -n1 "$report")" = "the guest's kernel panicked: sysrq triggered crash" ]
	cat "$report" # bats shows it when the case fails
	grep -qE "^  state +panic$" "$report"
	grep -qE "^  system +Linux 6\.1\." "$report"
	# The CPU that panicked, and the one that Linux stopped for it.
	grep -qE "^  task +'(sh|ash|init|busybox)'" "$report"
	grep -q "^    sysrq_handle_crash+" "$report"
	grep -q "^    stop_this_cpu+" "$report"
	[ "$(grep -c '^  rip ffffffff' "$report")" -eq 2 ]
	! grep -q 'not asked' "$report"
	grep -q '^  <0>.*Kernel panic - not syncing: sysrq triggered crash' "$report"
	sed -n '/^console, /,$p' "$report" | grep -q 'Kernel panic - not syncing'
	# The next VM of that name that does not panic leaves it.
	local before
	before=$(md5sum <"$report")
	run -0 panic_run 'poweroff -f'
	[ "$(md5sum <"$report")" = "$before" ]
}

@test "--on-panic exit leaves nothing" {
	run -3 panic_run "$crash" --on-panic exit
	[[ $output == *"the guest's kernel panicked: sysrq triggered crash"* && $output != *report* ]]
	[ -z "$(ls -A "$SYMVM_RUNTIME_DIR")" ]
}

@test "--on-panic pause keeps the VM for questions" {
	panic_start "$crash" --on-panic pause
	wait_until 200 is_panicked
	run -0 "$symvm" list
	[[ ${lines[1]} == dead*panicked*"panicked: sysrq triggered crash" ]]
	[ "$("$symvm" info dead --json | jq -r .panic_report)" = "$SYMVM_RUNTIME_DIR/dead.panic" ]
	# Again and again: each call leaves the guest as it was.
	local vcpu first
	for vcpu in 0 1; do
		first=$("$symvm" call dead stack --vcpu $vcpu)
		[ "$("$symvm" call dead stack --vcpu $vcpu)" = "$first" ]
		"$symvm" call dead whoami --vcpu $vcpu
	done
	run -0 "$symvm" dmesg dead
	[[ $output == *'Kernel panic - not syncing: sysrq triggered crash'* ]]
	# No thread of the guest can make a list any more, but its kernel can.
	run -0 "$symvm" ps dead --json
	[ "$(jq '[.tasks[] | select(.pid == 1)] | length' <<<"$output")" -eq 1 ]
	[ "$(jq '[.tasks[] | select(.comm == "kthreadd" and .kernel_thread)] | length' <<<"$output")" -eq 1 ]
	[ "$(jq '.tasks | length' <<<"$output")" -gt 40 ] # several pieces
	[ "$(jq '[.tasks[].pid] | (length == (unique | length))' <<<"$output")" = true ]
	run -1 "$symvm" who dead --port 0x3f8
	[[ $output == *"panicked, so it does not run" ]]
	run -1 "$symvm" resume dead
	[[ $output == *"kept for questions alone"* ]]
	run -1 "$symvm" pause dead
	run -1 "$symvm" nmi dead
	[[ $output == "symvm: nmi: the guest's kernel panicked, so it does not run" ]]
	"$symvm" dump dead "$scratch/core"
	run -0 "$vmcore" "$scratch/core"
	[[ $output == *'sysrq triggered crash'* ]]
	"$symvm" stop dead
	guest_ended 3
	[ "$(ls -A "$SYMVM_RUNTIME_DIR")" = dead.panic ]
}

@test "--on-panic pause ends at a signal and at stop --force" {
	panic_start "$crash" --on-panic pause
	wait_until 200 is_panicked
	kill -TERM "$("$symvm" info dead --json | jq .pid)"
	guest_ended 3
	panic_start "$crash" --on-panic pause
	wait_until 200 is_panicked
	"$symvm" stop --force dead
	guest_ended 3
}

@test "--on-panic dump: drgn reads the kernel's log" {
	run -3 panic_run "$crash" --on-panic dump --dump-file "$scratch/core"
	[[ $output == *"the guest's memory is in '$scratch/core'"* ]]
	[ -s "$SYMVM_RUNTIME_DIR/dead.panic" ]
	[ "$(stat -c %a "$scratch/core")" = 600 ]
	# Zeros are holes.
	[ "$(stat -c '%s' "$scratch/core")" -eq $((256 * 1024 * 1024 + 65536)) ]
	[ "$(($(stat -c '%b' "$scratch/core") * 512))" -lt $((200 * 1024 * 1024)) ]
	run -0 "$vmcore" "$scratch/core"
	[[ $output == *"release 6.1."* ]]
	[ "$(grep -c '^rip 0xffffffff' <<<"$output")" -eq 2 ]
	[[ $output == *'sysrq triggered crash'* ]]
	run -0 /usr/bin/python3 tests/lib/drgn-release "$scratch/core"
	[[ $output == "6.1."* ]]
}

@test "dump of a guest that runs, and of one that is paused" {
	panic_start 'echo guest is up; sleep 1000'
	wait_until 200 said 'guest is up'
	run -0 "$symvm" dump dead "$scratch/core" --json
	[ "$(jq .vmcoreinfo <<<"$output")" = true ]
	run -0 "$vmcore" "$scratch/core"
	[[ $output == *"release 6.1."* ]]
	[ "$("$symvm" info dead --json | jq -r .state)" = running ]
	"$symvm" call dead ping 1 2
	# It exists: nothing is replaced.
	run -1 "$symvm" dump dead "$scratch/core"
	[[ $output == *"exists already" ]]
	"$symvm" pause dead
	"$symvm" dump dead "$scratch/paused"
	[ "$("$symvm" info dead --json | jq -r .state)" = paused ]
	"$vmcore" "$scratch/paused" >/dev/null
	# A full disk: one line, and no file.
	mkdir "$scratch/small"
	mount -t tmpfs -o size=8M none "$scratch/small"
	run -1 "$symvm" dump dead "$scratch/small/core"
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == "symvm: dump: the dump, after "*": No space left on device" ]]
	[ -z "$(ls -A "$scratch/small")" ]
	"$symvm" resume dead
	"$symvm" call dead ping 1 2
	"$symvm" stop --force dead
	guest_ended 5
}
