#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Guests and control clients that make it hard to ask or to end a VM, under the sanitizers.

load ../lib/bare

guest=$build/guest/bare/devices/devices.elf

# starts TEST [OPTION]...: start a VM with the guest's test; wait until the test runs.
starts() {
	local words=$1
	shift
	timeout -s KILL 300 "$symvm_sanitized" run --name "$name" --kernel "$guest" --memory 64M \
		--append "$words" --console "file:$scratch/console" --log-file "$scratch/log" "$@" \
		</dev/null >"$scratch/output" 2>&1 3>&- &
	vm=$!
	wait_until 60 is_ready_or_gone || explain "not ready in 60 s"
	grep -q 'stubborn: ready' "$scratch/console" || explain "ended before it was ready"
}

is_ready_or_gone() {
	grep -qs 'stubborn: ready' "$scratch/console" || is_gone
}

is_gone() {
	! kill -0 "$vm" 2>/dev/null
}

# vmm: print the VM's own process (timeout is its parent).
vmm() {
	pgrep -P "$vm"
}

# ends STATUS: check that the VM's process ended with that status, and that the sanitizers found nothing.
ends() {
	local status=0
	wait_until 60 is_gone || explain "still there after 60 s"
	wait "$vm" || status=$?
	vm=
	[ "$status" -eq "$1" ] || explain "status $status"
	no_report || explain
	# Nothing remains that would disturb the next VM of that name.
	! compgen -G "${SYMVM_RUNTIME_DIR:-/run/symvm}/$name.*" >/dev/null
}

explain() {
	echo "$@"
	cat "$scratch"/report* "$scratch/log" "$scratch/output" 2>/dev/null || true
	tail -5 "$scratch/console" || true
	return 1
}

ask() {
	lab/limit 60 "$symvm_sanitized" "$@"
}

# fire LINE [SECONDS]: send it to the control socket, and leave after that time.
fire() {
	{
		printf '%s\n' "$1"
		sleep "${2:-0.3}"
	} | socat -t 0 - "UNIX-CONNECT:${SYMVM_RUNTIME_DIR:-/run/symvm}/$name.sock" || true
}

@test "a guest that answers late: ps ends in time, monitors that leave do not shut out stop" {
	starts "answers-late slow=800"
	run ask ps "$name"
	[ "$status" -eq 1 ]
	[[ $output == *"in time"* ]] || explain "$output"
	for _ in $(seq 24); do
		fire '{"command":"ps"}' 0.1 >/dev/null &
	done
	wait $(jobs -p | grep -vx "$vm")
	ask info "$name" >/dev/null
	run ask pause "$name"
	[ "$status" -eq 0 ] || explain "$output"
	for words in "ps $name" "call $name ping 1 2" "who $name --port 0x3f8"; do
		# shellcheck disable=SC2086
		run ask $words
		[ "$status" -eq 1 ]
		[[ $output == *"the VM is paused"* ]] || explain "$output"
	done
	ask resume "$name"
	fire '{"command":"ps"}' 0.1 >/dev/null &
	ask stop "$name" --force
	ends 5
}

@test "a guest that does nothing but reset, and clients that do all at once" {
	starts only-resets --cpus 2
	for _ in $(seq 6); do
		fire '{"command":"ps"}' 0.1 >/dev/null &
		fire '{"command":"call","arguments":{"call":"ping"}}' >/dev/null &
		fire '{"command":"pause"}' 0 >/dev/null &
		fire '{"command":"resume"}' 0 >/dev/null &
		ask info "$name" >/dev/null
	done
	wait $(jobs -p | grep -vx "$vm")
	ask info "$name" >/dev/null
	fire '{"command":"stop","arguments":{"force":true}}' 0 >/dev/null
	ends 5
}

@test "SIGTERM is the button; the plug follows after --grace, or at a second signal" {
	starts deaf --grace 2
	kill -TERM "$(vmm)"
	ends 5
	grep -q 'did not power off within 2 s' "$scratch/log" || explain
	rm "$scratch/console"
	starts deaf
	kill -TERM "$(vmm)"
	sleep 1
	kill -0 "$vm"
	kill -TERM "$(vmm)"
	ends 5
	rm "$scratch/console"
	starts deaf --grace 0
	kill -INT "$(vmm)"
	ends 5
}

@test "a guest that does not hear the first presses powers off all the same" {
	starts "hears-late seconds=3"
	kill -TERM "$(vmm)"
	ends 0
	rm "$scratch/console"
	starts "hears-late seconds=3"
	ask stop "$name" --timeout 50
	ends 0
}
