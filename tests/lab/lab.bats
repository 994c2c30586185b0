#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The lab itself: all input arrives, the output is the one that was written, nothing stays behind.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	lab=lab/run
	. tests/lib/clock.bash
	# These tests are about the emulated host. Use it on every machine, except inside an emulated host.
	unset SYMVM_LAB
	export SYMVM_LAB_MODE=emulated
	# The tests must not measure the wait for the emulated hosts of other stages.
	export SYMVM_LAB_SLOTS=16
}

@test "exit status 0, 7, 126, 127 and that of a signal come back" {
	"$lab" --timeout 120 true
	run -7 "$lab" --timeout 120 sh -c 'exit 7'
	run -126 "$lab" --timeout 120 /etc/passwd
	run -127 "$lab" --timeout 120 no-such-command-anywhere
	[[ $output == *"no-such-command-anywhere: command not found"* ]]
	run -143 "$lab" --timeout 120 sh -c 'kill -TERM $$'
}

@test "a MiB of random bytes passes unchanged, in by stdin and out by stdout" {
	head -c 1048576 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	"$lab" --timeout 120 cat <"$BATS_TEST_TMPDIR/bytes" >"$BATS_TEST_TMPDIR/back" 2>"$BATS_TEST_TMPDIR/err"
	cmp "$BATS_TEST_TMPDIR/bytes" "$BATS_TEST_TMPDIR/back"
	[ ! -s "$BATS_TEST_TMPDIR/err" ]
}

@test "stderr stays apart, arguments and directory arrive as given" {
	run --separate-stderr "$lab" --timeout 120 -- \
		sh -c 'printf "%s|" "$PWD" "$@"; echo warned >&2' sh 'two words' '' "quo'te" '--cpus'
	[ "$status" -eq 0 ]
	[ "$output" = "$PWD|two words||quo'te|--cpus|" ]
	[ "$stderr" = warned ]
}

@test "inside: root, /dev/kvm runs a guest, nested paging, a writable tree that is forgotten" {
	run -0 "$lab" --timeout 120 --cpus 3 --scratch 100 sh -ec '
		[ "$SYMVM_LAB" = emulated ]
		[ "$(id -u)" = 0 ]
		lab/kvm-check
		[ "$(cat /sys/module/kvm_amd/parameters/npt)" = Y ]
		[ -c /dev/vhost-net ] && [ -c /dev/vhost-vsock ] && [ -c /dev/net/tun ]
		[ "$(nproc)" = 3 ]
		grep -q memory /sys/fs/cgroup/cgroup.subtree_control
		curl -s telnet://127.0.0.1:1 || [ $? = 7 ]
		[ "$(df -m --output=size "$SYMVM_SCRATCH" | tail -n1 | tr -d " ")" = 100 ]
		modinfo -n ext4 && modprobe ext4
		echo left > lab/left-behind && [ "$(cat lab/left-behind)" = left ]'
	[ ! -e lab/left-behind ]
}

@test "the time limit ends it with status 124 and says so" {
	run -124 "$lab" --timeout 12 sleep 1000
	[[ $output == *"time limit reached, 12 s"* ]]
}

@test "two at once do not disturb each other" {
	"$lab" --timeout 200 sh -c 'echo one > /tmp/name; sleep 3; cat /tmp/name; exit 1' >"$BATS_TEST_TMPDIR/1" &
	local first=$! status=0
	"$lab" --timeout 200 sh -c 'echo two > /tmp/name; sleep 3; cat /tmp/name; exit 2' >"$BATS_TEST_TMPDIR/2" || status=$?
	[ "$status" -eq 2 ]
	status=0
	wait "$first" || status=$?
	[ "$status" -eq 1 ]
	[ "$(cat "$BATS_TEST_TMPDIR/1")" = one ]
	[ "$(cat "$BATS_TEST_TMPDIR/2")" = two ]
}

@test "SIGINT and SIGTERM end it with 130 and 143, no emulator and no file left" {
	local signal expected status pid
	for signal in INT TERM; do
		[ "$signal" = INT ] && expected=130 || expected=143
		# A shell's background job ignores SIGINT; a session of its own does not.
		setsid --fork --wait sh -c 'echo $$ >"$1"; shift; exec env --default-signal=INT "$@"' \
			sh "$BATS_TEST_TMPDIR/pid" "$lab" --timeout 200 sh -c 'echo up; sleep 1000' \
			>"$BATS_TEST_TMPDIR/log" &
		local waiter=$!
		wait_until 600 grep -q up "$BATS_TEST_TMPDIR/log"
		pid=$(cat "$BATS_TEST_TMPDIR/pid")
		local qemu
		qemu=$(pgrep -P "$pid" qemu)
		[ -n "$qemu" ]
		local directory
		directory=$(tr '\0 ' '\n\n' <"/proc/$qemu/cmdline" | sed -n 's/^symvm.conf=//p')
		[ -d "$directory" ]
		kill -"$signal" "$pid"
		status=0
		wait "$waiter" || status=$?
		[ "$status" -eq "$expected" ]
		[ ! -e "/proc/$qemu" ]
		[ ! -e "$directory" ]
		rm -f "$BATS_TEST_TMPDIR/log"
	done
}

@test "a killed lab/run takes its emulator along" {
	"$lab" --timeout 200 sh -c 'echo up; sleep 1000' >"$BATS_TEST_TMPDIR/log" &
	local pid=$!
	wait_until 600 grep -q up "$BATS_TEST_TMPDIR/log"
	local qemu
	qemu=$(pgrep -P "$pid" qemu)
	kill -KILL "$pid"
	wait "$pid" || true
	gone() { [ ! -e "/proc/$qemu" ] || grep -q '^State:.*Z' "/proc/$qemu/status"; }
	wait_until 100 gone
}

@test "--out carries files out, with content and mode" {
	local out="$BATS_TEST_TMPDIR/results"
	"$lab" --timeout 120 --out "$out" sh -ec "
		head -c 300000 /dev/zero | tr '\\0' x > '$out/file'
		mkdir '$out/sub'; echo 'echo ran' > '$out/sub/script'; chmod 755 '$out/sub/script'"
	[ "$(sha256sum <"$out/file")" = "$(head -c 300000 /dev/zero | tr '\0' x | sha256sum)" ]
	[ "$("$out/sub/script")" = ran ]
}

@test "a panic of the emulated host is status 125 with its last words" {
	unset SYMVM_LAB_EVENTS # on purpose, not a failure of the run
	run -125 "$lab" --timeout 120 sh -c 'echo c > /proc/sysrq-trigger; sleep 100'
	[[ $output == *"sysrq triggered crash"* ]]
}

@test "a host whose CPUs all spin gives no sign of life and is ended; one that is quiet does not" {
	unset SYMVM_LAB_EVENTS
	export SYMVM_LAB_STILL_SECONDS=6
	run -0 "$lab" --timeout 120 sleep 12
	run -125 "$lab" --timeout 600 sh -c 'echo -1 >/proc/sys/kernel/sched_rt_runtime_us
		for cpu in 0 1; do taskset -c $cpu chrt -f 99 sh -c "while :; do :; done" & done
		sleep 1000'
	[[ $output == *"the emulated host gave no sign of life for 6 s"* ]]
}

@test "limits inside an emulated host: the command's status, or 124" {
	run -0 "$lab" --timeout 300 sh -ec '
		status=0; lab/limit 100 sh -c "exit 7" || status=$?; [ $status = 7 ]
		status=0; lab/limit 1 sleep 1000 || status=$?; [ $status = 124 ]
		status=0; lab/limit 1 sh -c "trap : TERM; while :; do sleep 1; done" || status=$?; [ $status = 124 ]
		status=0; lab/limit 100 no-such-command || status=$?; [ $status = 127 ]
		lab/limit 100 sh -c "trap \"exit 3\" TERM; : >/tmp/up; while :; do sleep 0.1; done" &
		until [ -e /tmp/up ]; do sleep 0.1; done
		kill -TERM $!; status=0; wait $! || status=$?; [ $status = 3 ]'
}

@test "an emulated host that hangs before the command begins is started again, three times at most" {
	unset SYMVM_LAB_EVENTS
	local real
	real=$(scripts/qemu-fetch)
	cat >"$BATS_TEST_TMPDIR/emulator" <<-SCRIPT
		#!/bin/sh
		echo >>"$BATS_TEST_TMPDIR/starts"
		[ "\$(wc -l <"$BATS_TEST_TMPDIR/starts")" -gt "\$HANGS" ] || exec sleep 1000
		exec "$real" "\$@"
	SCRIPT
	chmod +x "$BATS_TEST_TMPDIR/emulator"
	export SYMVM_LAB_QEMU=$BATS_TEST_TMPDIR/emulator
	HANGS=1 SYMVM_LAB_UP_SECONDS=25 run -7 "$lab" --timeout 120 sh -c 'exit 7'
	[ "$output" = "lab/run: the emulated host did not come up; its last words:" ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/starts")" -eq 2 ]
	HANGS=9 SYMVM_LAB_UP_SECONDS=1 run -125 "$lab" --timeout 120 true
	[ "$(wc -l <"$BATS_TEST_TMPDIR/starts")" -eq 5 ]
}

@test "files written just before the start are seen inside" {
	echo "$BASHPID.$RANDOM" >"$BATS_TEST_TMPDIR/now"
	run -0 "$lab" --timeout 120 cat "$BATS_TEST_TMPDIR/now"
	[ "$output" = "$(cat "$BATS_TEST_TMPDIR/now")" ]
}

@test "on a terminal the command gets a terminal of the same size, keys reach it" {
	run -0 timeout 1200 /usr/bin/python3 - "$lab" <<'PYTHON'
import os, pty, sys, fcntl, termios, struct, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "--timeout", "100", "sh", "-c",
             'test -t 0 && test -t 1 && stty size && read line && echo "got $line" && sleep 100'])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
seen, step = b"", 0
while True:
    try:
        data = os.read(fd, 1000)
    except OSError:
        break
    if not data:
        break
    seen += data
    if step == 0 and b"33 77" in seen:
        os.write(fd, b"hello\r")
        step = 1
    if step == 1 and b"got hello" in seen:
        os.write(fd, b"\x03")  # Ctrl-C goes to the command, as in any terminal
        step = 2
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(seen.decode(), "step", step, "status", status)
sys.exit(0 if step == 2 and status == 130 else 1)
PYTHON
}

@test "bad options are one-line errors" {
	local arguments
	for arguments in '--cpus 0' '--cpus 999' '--cpus x' '--memory 1' '--timeout 0' '--kernel 5.10' \
		'--nonsense' '--cpus'; do
		# shellcheck disable=SC2086
		run "$lab" $arguments true
		[ "$status" -ne 0 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ $output == *"${arguments%% *}"* || $output == *5.10* ]]
	done
	run -2 "$lab"
}
