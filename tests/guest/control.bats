#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The control socket of a running VM, its jail, and its files after every kind of end.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# guest_start NAME [SYMVM OPTION]...: start a guest in the background that waits for the order to stop, or
# runs $start_command.
guest_start() {
	local name=$1
	shift
	GUEST_WORDS="symvm.net=off ${start_words:-symvm.modules=none}" GUEST_LIMIT=200 \
		guest_run 6.1 bzimage 2 "echo guest is up; ${start_command:-sleep 1000}" --name "$name" \
		--jail trap "$@" >"$scratch/$name.console" 2>&1 3>&- &
	guest_pid=$!
	wait_until 60 is_answering "$name"
}

is_answering() {
	"$symvm" info "$1" >/dev/null 2>&1
}

guest_is_up() {
	grep -q 'guest is up' "$scratch/$1.console"
}

# guest_ended STATUS: check that the guest started last ended with that status and left no traces.
guest_ended() {
	local status=0
	wait "$guest_pid" || status=$?
	guest_pid=''
	[ "$status" -eq "$1" ] || {
		cat "$scratch"/*.console
		echo "status $status instead of $1"
		return 1
	}
	[ -z "$(ls -A "$SYMVM_RUNTIME_DIR")" ]
}

# field NAME FILTER: print a value of `symvm info --json`.
field() {
	"$symvm" info "$1" --json | jq -r "$2"
}

vmm_pid() {
	field "$1" .pid
}

@test "ask a running guest, pause it, resume it, press its power button" {
	guest_start web
	wait_until 120 guest_is_up web
	[ "$(stat -c %a "$SYMVM_RUNTIME_DIR/web.sock")" = 600 ]
	run "$symvm" list
	[ "$status" -eq 0 ]
	[[ ${lines[1]} =~ ^web\ +[0-9]+\ running\ .*\ 2\ +256\ MiB$ ]]
	[ "$("$symvm" list --json | jq -r '.[].name')" = web ]
	[ "$(field web .state)" = running ]
	[ "$(field web '.vcpus | length')" = 2 ]
	[ "$(field web '.vcpus[0].exits.io')" -gt 100 ]
	[ "$(field web '.devices | map(select(.type == "serial")) | length')" = 1 ]
	run "$symvm" info web
	[ "$status" -eq 0 ]
	[[ $output == *"  by reason "*"io "* ]]

	# Every thread is in its jail.
	local pid task
	pid=$(vmm_pid web)
	for task in "/proc/$pid/task"/*; do
		grep -q '^Seccomp:.*2$' "$task/status"
		grep -q '^NoNewPrivs:.*1$' "$task/status"
	done

	# A name can be taken only once.
	run guest_run 6.1 bzimage 1 true --name web
	[ "$status" -eq 1 ]
	[ "$output" = "symvm: the name 'web' is taken by a running VM" ]

	# While the VM is paused, its counters do not change.
	"$symvm" pause web
	[ "$(field web .state)" = paused ]
	local before
	before=$(field web '[.vcpus[].exits_total] | add')
	sleep 3
	[ "$(field web '[.vcpus[].exits_total] | add')" = "$before" ]
	run "$symvm" pause web
	[ "$status" -eq 1 ]
	[ "$output" = "symvm: pause: the VM is paused already" ]
	run "$symvm" ps web
	[ "$status" -eq 1 ]
	[[ $output == "symvm: ps: the VM is paused"* ]]
	"$symvm" resume web
	[ "$(field web .state)" = running ]
	run "$symvm" resume web
	[ "$status" -eq 1 ]

	"$symvm" stop web --timeout 1800
	guest_ended 0
}

@test "metrics are in Prometheus' text format" {
	guest_start web
	wait_until 120 guest_is_up web
	"$symvm" metrics web >"$scratch/metrics"
	"$symvm" stop --force web
	guest_ended 5
	/usr/bin/python3 - "$scratch/metrics" <<'PYTHON'
import re, sys
families, seen = {}, set()
for line in open(sys.argv[1], encoding="utf-8"):
    line = line.rstrip("\n")
    if line.startswith("# HELP "):
        continue
    if line.startswith("# TYPE "):
        _, _, name, kind = line.split(" ")
        assert name not in families, f"{name} twice"
        assert kind in ("counter", "gauge"), line
        assert (kind == "counter") == name.endswith("_total"), line
        families[name] = 0
        continue
    match = re.fullmatch(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)+)\} (-?[0-9.e+]+)', line)
    assert match, line
    assert match[1] in families, f"{match[1]} has no TYPE"
    assert line.split("} ")[0] not in seen, f"twice: {line}"
    seen.add(line.split("} ")[0])
    assert 'vm="web"' in match[2], line
    families[match[1]] += 1
assert families["symvm_vcpu_exits_total"] >= 2, families
assert families["symvm_device_value"] >= 1, families
PYTHON
}

# ticks NAME: print how many seconds the guest has counted.
ticks() {
	grep -c '^tick' "$scratch/$1.console" || true
}

has_ticked() {
	[ "$(ticks "$1")" -ge "$2" ]
}

# bats test_tags=soak
@test "a pause longer than the guest's watchdogs wait: no soft lockup, no RCU stall" {
	local words='/proc/sys/kernel/watchdog_thresh /proc/sys/kernel/soft_watchdog'
	words+=' /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout'
	start_words='symvm.modules=none watchdog_thresh=4 rcupdate.rcu_cpu_stall_timeout=8' \
		start_command="echo limits: \$(cat $words); while :; do sleep 1; echo tick; done" guest_start long
	wait_until 120 has_ticked long 1
	grep -q '^limits: 4 1 8' "$scratch/long.console"
	"$symvm" pause long
	local before
	before=$(ticks long)
	sleep 12 # a soft lockup is twice watchdog_thresh
	"$symvm" resume long
	wait_until 120 has_ticked long $((before + 4))
	run -1 grep -iE 'lockup|stall' "$scratch/long.console"
	"$symvm" stop --force long
	guest_ended 5
}

@test "paused from the start: nothing runs until it is resumed" {
	guest_start idle --paused
	sleep 2
	[ "$(field idle .state)" = paused ]
	[ "$(field idle '[.vcpus[].exits_total] | add')" = 0 ]
	"$symvm" resume idle
	wait_until 120 guest_is_up idle
	# The button wakes a paused guest, too.
	"$symvm" pause idle
	"$symvm" stop idle --timeout 1800
	guest_ended 0
}

@test "SIGTERM and SIGINT power it off, also while it boots or is paused" {
	guest_start one --grace 240
	wait_until 60 test -s "$scratch/one.console" || true
	kill -TERM "$(vmm_pid one)"
	guest_ended 0
	guest_start two --paused --grace 240
	kill -INT "$(vmm_pid two)"
	guest_ended 0
	guest_start three --paused --grace 0
	kill -HUP "$(vmm_pid three)"
	guest_ended 5
}

state_is_empty() {
	[ -z "$(ls -A "$SYMVM_RUNTIME_DIR")" ]
}

@test "killed, its guard removes what it left; without a guard the next of that name does" {
	guest_start again
	kill -KILL "$(vmm_pid again)"
	wait "$guest_pid" || true
	wait_until 60 state_is_empty
	guest_start again
	local pid
	pid=$(vmm_pid again)
	kill -KILL $(pgrep -P "$pid") "$pid"
	wait "$guest_pid" || true
	[ -S "$SYMVM_RUNTIME_DIR/again.sock" ]
	[ "$("$symvm" list | wc -l)" = 1 ]
	run "$symvm" info again
	[ "$output" = "symvm: info: no VM named 'again' is running" ]
	guest_start again --paused
	[ "$(field again .state)" = paused ]
	"$symvm" stop --force again
	guest_ended 5
}

@test "an NMI: the guest reports it on that vCPU, or panics if it is to" {
	start_words=unknown_nmi_panic guest_start fatal --on-panic exit
	wait_until 120 guest_is_up fatal
	"$symvm" nmi fatal
	guest_ended 3
	guest_start hung
	wait_until 120 guest_is_up hung
	run "$symvm" nmi hung --vcpu 2
	[ "$status" -eq 1 ]
	[[ $output == "symvm: nmi: "*"vcpu"*"0 to 1"* ]]
	"$symvm" nmi hung --vcpu 1
	wait_until 60 grep -q 'NMI received for unknown reason .* on CPU 1' "$scratch/hung.console"
	"$symvm" stop --force hung
	guest_ended 5
}

@test "a guest that ignores its button is forced after the time" {
	guest_start deaf
	# The guest has no driver for the button yet.
	run "$symvm" stop deaf --timeout 0
	[ "$status" -eq 0 ]
	[ "$output" = "symvm: stop: 'deaf' did not power off within 0 s; forcing it" ]
	guest_ended 5
}

# disk_refused WORDS ARGUMENT: check that symvm refuses the disk with the words.
disk_refused() {
	run guest_run 6.1 bzimage 1 true --name disk --disk "$2"
	echo "$output"
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == "symvm: "*"$1"* ]]
	[ -z "$(ls -A "$SYMVM_RUNTIME_DIR")" ]
}

@test "a disk that is a directory, missing, or on a read-only file system" {
	disk_refused "$scratch" "$scratch"
	disk_refused "$scratch/none" "$scratch/none"
	# This tree is mounted read-only in the lab; elsewhere make one such mount.
	truncate -s 1M "$scratch/image"
	mkdir "$scratch/fixed"
	mount --bind "$scratch" "$scratch/fixed"
	mount -o remount,ro,bind "$scratch/fixed"
	disk_refused "$scratch/fixed/image" "$scratch/fixed/image"
	umount "$scratch/fixed"
	disk_refused "nokey" "path=$scratch/image,nokey=1"
}

@test "clients that misbehave are answered or dropped, the guest continues" {
	guest_start busy
	/usr/bin/python3 - "$SYMVM_RUNTIME_DIR/busy.sock" <<'PYTHON'
import json, os, random, socket, sys
path = sys.argv[1]
def connect():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.settimeout(1200)
    return client
def ask(client, line):
    client.sendall(line + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        piece = client.recv(65536)
        assert piece, "connection ended"
        answer += piece
    return json.loads(answer)
client = connect()
for nonsense in (b"", b"\x00\xff", b"{", b"[]", b"[" * 60000, b"x" * 200000,
                 b'{"command":"stop","arguments":{"force":"yes"}}', b'{"command":"info","x":1}',
                 b'{"command":"pause","arguments":{"x":1}}', b'{"command":"\xc3\x28"}'):
    assert ask(client, nonsense)["error"]["code"] < 0, nonsense
assert ask(client, b'{"command":"info"}')["result"]["name"] == "busy"
assert "pause" in ask(client, b'{"command":"commands"}')["result"]
random.seed(1)
for _ in range(50):
    other = connect()
    other.sendall(os.urandom(random.randrange(5000)))
    other.close()
idle = [connect() for _ in range(14)]
for _ in range(20):
    assert ask(client, b'{"command":"pause"}').get("result") == {}
    assert ask(client, b'{"command":"resume"}').get("result") == {}
PYTHON
	wait_until 120 guest_is_up busy
	[ "$(field busy .state)" = running ]
	"$symvm" stop --force busy
	guest_ended 5
}
