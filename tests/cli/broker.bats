#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The broker as a user starts it, in its jail, without guests: a program plays a VM. Promises are tested
# by tests/unit/broker, real guests by tests/swap/broker.bats.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	. tests/lib/clock.bash
	symvm=${BUILD_DIR:-build}/symvm/symvm
	[ -x "$symvm" ] || skip "symvm is not built"
	work=$(mktemp -d)
	export SYMVM_RUNTIME_DIR=$work/state
	pids=()
}

teardown() {
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	cat "$work/log" 2>/dev/null || true
	rm -rf "$work"
}

# broker_start: start one, and wait until it answers.
broker_start() {
	"$symvm" broker --share 1G "$@" >>"$work/log" 2>&1 3>&- &
	broker_pid=$!
	pids+=("$broker_pid")
	wait_until 20 "$symvm" broker --list >/dev/null 2>&1
}

# vm_play NAME: a program joins with 100 to 500 MiB, and takes what it gets.
vm_play() {
	/usr/bin/python3 - "$SYMVM_RUNTIME_DIR/broker.socket" "$1" 3>&- >>"$work/log" 2>&1 <<'PYTHON' &
import json, socket, sys, time
path, name = sys.argv[1:]
MIB = 1 << 20
held = 100 * MIB
while True:
    try:
        broker = socket.socket(socket.AF_UNIX)
        broker.connect(path)
        say = lambda command, **values: broker.sendall(
            (json.dumps({"command": command, "arguments": values}) + "\n").encode())
        say("join", name=name, min=100 * MIB, max=500 * MIB, weight=100, held=held)
        for line in broker.makefile():
            lease = json.loads(line)["lease"]
            held = lease["bytes"]
            say("demand", held=held, serial=lease["serial"], want=500 * MIB)
    except OSError:
        pass
    time.sleep(0.1)
PYTHON
	vm_pid=$!
	pids+=("$vm_pid")
}

# has_lease NAME MIB
has_lease() {
	local answer
	answer=$("$symvm" broker --explain "$1" --json 2>/dev/null) &&
		jq -e --argjson mib "$2" '.vm.state == "held" and .vm.lease == $mib * 1048576' <<<"$answer"
}

@test "broker: a VM joins, is explained, and survives a broker that is killed" {
	broker_start
	vm_play one
	wait_until 20 has_lease one 500
	run -0 "$symvm" broker --explain one
	[[ $output == *"it has 500 MiB, which is its max"* ]]
	[ "$(awk '/^CapEff/ { print $2 }' "/proc/$broker_pid/status")" = 0000000000000000 ]
	kill -KILL "$broker_pid"
	broker_start
	wait_until 20 has_lease one 500
	kill -KILL "$vm_pid"
	wait_until 20 eval '"$symvm" broker --list --json | jq -e ".vms == []"'
	# It ended by nobody's signal.
	kill -0 "$broker_pid"
	kill -TERM "$broker_pid"
	wait "$broker_pid"
}

@test "broker: a second one, wrong options, none that answers" {
	run -1 --separate-stderr "$symvm" broker --list
	[[ $stderr == *broker* ]]
	broker_start
	run -1 --separate-stderr "$symvm" broker --share 1G
	[[ $stderr == *"a broker runs already"* ]]
	run -1 --separate-stderr "$symvm" broker --explain nobody
	[[ $stderr == *"no VM 'nobody' has joined"* ]]
	run -2 --separate-stderr "$symvm" broker
	[[ $stderr == *"give one of --share SIZE, --list and --explain NAME"* ]]
	run -1 --separate-stderr "$symvm" broker --share 1G --policy nonsense --state-dir "$work" --socket "$work/s"
	[[ $stderr == *"'nonsense' is none of "* ]]
}

@test "run: what belongs to a broker only" {
	run -2 --separate-stderr "$symvm" run --kernel x --weight 7
	[[ $stderr == *"--weight: only with --broker"* ]]
	run -2 --separate-stderr "$symvm" run --kernel x --memory 128M,min=128M,max=1G
	[[ $stderr == *"min=: only with --broker"* ]]
	run -2 --separate-stderr "$symvm" run --kernel x --memory 128M,min=64M,max=1G --broker s
	[[ $stderr == *"min=64M is not between 128M"* ]]
}
