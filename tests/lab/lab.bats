#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The lab itself: all input arrives, the output is the one that was written, nothing stays behind.

bats_require_minimum_version 1.5.0

# Two hosts at once, which several cases look at afterwards: a boot takes long.
setup_file() {
	local root other status=0
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	use_emulated
	# What is fetched now says nothing in the output of the hosts below.
	"$root/scripts/kernel-fetch" 6.1 && "$root/lab/build-initramfs" 6.1 && "$root/scripts/qemu-fetch"
	cd "$BATS_FILE_TMPDIR"
	head -c 1048576 /dev/urandom >bytes
	echo "$BASHPID.$RANDOM" >now
	SYMVM_LAB_STILL_SECONDS=6 "$root/lab/run" --timeout 300 \
		sh -c 'echo two >/tmp/name; sleep 9; cat /tmp/name; kill -TERM $$' >other 2>&1 3>&- &
	other=$!
	"$root/lab/run" --timeout 600 --cpus 3 --scratch 100 --out out -- \
		"$root/tests/lib/lab-inside" "$PWD" 'two words' '' "quo'te" '--cpus' <bytes >back 2>err ||
		status=$?
	echo "$status" >status
	status=0
	wait "$other" || status=$?
	echo "$status" >other-status
}

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	lab=lab/run
	. tests/lib/clock.bash
	use_emulated
	shared=$BATS_FILE_TMPDIR
}

# These tests are about the emulated host. Use it on every machine, except inside an emulated host.
# They must not measure the wait for the emulated hosts of other stages.
use_emulated() {
	unset SYMVM_LAB
	export SYMVM_LAB_MODE=emulated SYMVM_LAB_SLOTS=16
}

# run_host STATUS ARGUMENT...: run lab/run, which must end with that status. The emulator itself may fail
# (QEMU 10.0.2: an assertion in iotlb_to_section, once in some hundreds of hosts): then once more.
run_host() {
	local expected=$1
	shift
	run "$lab" "$@"
	if [ "$status" -eq 125 ] && [[ $output == *"went down before the command ended"* ]]; then
		run "$lab" "$@"
	fi
	[ "$status" -eq "$expected" ]
}

# inside PART: check that tests/lib/lab-inside found PART to be right.
inside() {
	cat "$shared/out/$1.err"
	grep -qx "$1: right" "$shared/out/parts"
}

@test "exit status 7, 126, 127 and that of a signal come back" {
	[ "$(cat "$shared/status")" -eq 7 ]
	[ "$(cat "$shared/other-status")" -eq 143 ]
	run_host 126 --timeout 120 /etc/passwd
	run_host 127 --timeout 120 no-such-command-anywhere
	[[ $output == *"no-such-command-anywhere: command not found"* ]]
}

@test "a MiB of random bytes passes unchanged, in by stdin and out by stdout" {
	cat "$shared/err"
	cmp "$shared/bytes" "$shared/back"
}

@test "stderr stays apart, arguments and directory arrive as given" {
	cat "$shared/err"
	[ "$(cat "$shared/err")" = "$shared|two words||quo'te|--cpus|" ]
}

@test "inside: root, /dev/kvm runs a guest, nested paging, a writable tree that is forgotten" {
	local part
	for part in user kvm paging devices cpus cgroup loopback scratch modules tree; do
		inside "$part"
	done
	[ ! -e lab/left-behind ]
}

@test "limits inside an emulated host: the command's status, or 124" {
	inside limits
}

@test "files written just before the start are seen inside" {
	[ "$(cat "$shared/out/now")" = "$(cat "$shared/now")" ]
}

@test "--out carries files out, with content and mode" {
	[ "$(sha256sum <"$shared/out/file")" = "$(head -c 300000 /dev/zero | tr '\0' x | sha256sum)" ]
	[ "$("$shared/out/sub/script")" = ran ]
}

@test "two at once do not disturb each other" {
	cat "$shared/other"
	[ "$(cat "$shared/other")" = two ]
	[ "$(cat "$shared/out/name")" = one ]
}

@test "a host that is quiet for longer than the limit without a sign of life is left alone" {
	[ "$(cat "$shared/other-status")" -eq 143 ]
}

@test "the time limit ends it with status 124 and says so" {
	run -124 "$lab" --timeout 12 sleep 1000
	[[ $output == *"time limit reached, 12 s"* ]]
}

@test "SIGINT and SIGTERM end it with 130 and 143, no emulator and no file left" {
	local signal expected status pid
	for signal in INT TERM; do
		[ "$signal" = INT ] && expected=130 || expected=143
		# A shell's background job ignores SIGINT; a session of its own does not.
		setsid --fork --wait sh -c 'echo $$ >"$1"; shift; exec env --default-signal=INT "$@"' \
			sh "$BATS_TEST_TMPDIR/pid" "$lab" --timeout 200 sh -c 'echo up; sleep 1000' \
			>"$BATS_TEST_TMPDIR/log" &
		local waiter=$! qemu
		wait_until 60 test -s "$BATS_TEST_TMPDIR/pid"
		pid=$(cat "$BATS_TEST_TMPDIR/pid")
		wait_until 60 pgrep -P "$pid" qemu-system
		qemu=$(pgrep -P "$pid" qemu-system)
		local directory
		directory=$(tr '\0 ' '\n\n' <"/proc/$qemu/cmdline" | sed -n 's/^symvm.conf=//p')
		[ -d "$directory" ]
		# Once while the host boots, once while the command runs.
		[ "$signal" = INT ] || wait_until 600 grep -q up "$BATS_TEST_TMPDIR/log"
		kill -"$signal" "$pid"
		status=0
		wait "$waiter" || status=$?
		[ "$status" -eq "$expected" ]
		[ ! -e "/proc/$qemu" ]
		[ ! -e "$directory" ]
		rm -f "$BATS_TEST_TMPDIR"/{log,pid}
	done
}

@test "a killed lab/run takes its emulator along" {
	"$lab" --timeout 200 sleep 1000 &
	local pid=$! qemu
	wait_until 60 pgrep -P "$pid" qemu-system
	qemu=$(pgrep -P "$pid" qemu-system)
	kill -KILL "$pid"
	wait "$pid" || true
	gone() { [ ! -e "/proc/$qemu" ] || grep -q '^State:.*Z' "/proc/$qemu/status"; }
	wait_until 100 gone
}

@test "a panic of the emulated host is status 125 with its last words" {
	unset SYMVM_LAB_EVENTS # on purpose, not a failure of the run
	run -125 "$lab" --timeout 120 sh -c 'echo c > /proc/sysrq-trigger; sleep 100'
	[[ $output == *"sysrq triggered crash"* ]]
}

@test "a host whose CPUs all spin gives no sign of life and is ended" {
	unset SYMVM_LAB_EVENTS
	export SYMVM_LAB_STILL_SECONDS=6
	run -125 "$lab" --timeout 600 sh -c 'echo -1 >/proc/sys/kernel/sched_rt_runtime_us
		for cpu in 0 1; do taskset -c $cpu chrt -f 99 sh -c "while :; do :; done" & done
		sleep 1000'
	[[ $output == *"the emulated host gave no sign of life for 6 s"* ]]
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
