#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# An emulated host that fails costs minutes, but no result. A busy machine makes limits longer. The
# emulator is tests/lib/fake-emulator, which runs the command on this machine.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	unset SYMVM_LAB SYMVM_BATS_FILTER SYMVM_SOAK
	export SYMVM_LAB_MODE=emulated SYMVM_LAB_SLOTS=16 SYMVM_LAB_QEMU=$PWD/tests/lib/fake-emulator
	export FAKE_STATE=$BATS_TEST_TMPDIR SYMVM_LAB_EVENTS=$BATS_TEST_TMPDIR/events
	export SYMVM_LAB_STILL_SECONDS=3 SYMVM_LAB_UP_SECONDS=3
	PATH=$(tr ':' '\n' <<<"$PATH" | grep -v bats-core | paste -sd:) # from here on `bats` is the command again
	cases=$BATS_TEST_TMPDIR/cases
	mkdir -p "$cases"
	{
		echo '# bats file_tags=together'
		local name
		for name in one two three four; do
			printf '@test "%s (of 4)" {\n\techo "%s" >>"%s/ran"\n\t[ "${SYMVM_FAIL:-}" != %s ]\n}\n' \
				"$name" "$name" "$BATS_TEST_TMPDIR" "$name"
		done
	} >"$cases/a.bats"
}

# in_lab STATUS LIMIT: run the cases; print the results in one line.
in_lab() {
	run --separate-stderr "-$1" scripts/bats-in-lab --each "$2" "$cases"
	results=$(grep -E '^(not )?ok' <<<"$output" | tr '\n' ' ')
	echo "$output" "$stderr"
}

starts() {
	wc -c <"$FAKE_STATE/starts"
}

all='ok 1 one (of 4) ok 2 two (of 4) ok 3 three (of 4) ok 4 four (of 4) '

@test "no fault: one host" {
	in_lab 0 60
	[ "$results" = "$all" ]
	[ "$(starts)" -eq 1 ]
	[ ! -e "$SYMVM_LAB_EVENTS" ]
}

@test "a host that hangs is ended; what passed is not run again; the rest go on in a new one" {
	FAKE_FAULTS=1:2:hangs in_lab 0 60
	[ "$results" = "$all" ]
	[ "$(starts)" -eq 2 ]
	[ "$(grep -c one "$BATS_TEST_TMPDIR/ran")" -eq 1 ]
	[ "$(grep -c two "$BATS_TEST_TMPDIR/ran")" -eq 1 ]
	[[ $output == *"# three (of 4): try 1: the emulated host failed"* ]]
	[[ $stderr == *"gave no sign of life for 3 s"* ]]
	[ "$(cat "$SYMVM_LAB_EVENTS")" = "the emulated host gave no sign of life for 3 s" ]
}

@test "a host that goes down: the same" {
	FAKE_FAULTS='1:1:dies 2:boot:dies' in_lab 0 60
	[ "$results" = "$all" ]
	[ "$(starts)" -eq 3 ]
	[ "$(wc -l <"$SYMVM_LAB_EVENTS")" -eq 2 ]
}

@test "a host that hangs again and again at one case: it has failed, the others have not" {
	FAKE_FAULTS='1:2:hangs 2:0:hangs 3:0:dies' in_lab 1 60
	[ "$results" = 'ok 1 one (of 4) ok 2 two (of 4) not ok 3 three (of 4) ok 4 four (of 4) ' ]
	[ "$(starts)" -eq 4 ]
	[ "$(wc -l <"$SYMVM_LAB_EVENTS")" -eq 3 ]
}

@test "a case that makes no progress in a host that answers has failed; no hang is counted" {
	FAKE_FAULTS=1:1:stalls in_lab 1 4
	[ "$results" = 'ok 1 one (of 4) not ok 2 two (of 4) ok 3 three (of 4) ok 4 four (of 4) ' ]
	[[ $output == *"# two (of 4): made no progress for 4 s in a host that answered"* ]]
	[ ! -e "$SYMVM_LAB_EVENTS" ]
}

@test "output is a sign of life, too: a host that answers no pulse, but gets on, is left alone" {
	sed -i 's/^@test.*/&\n\tsleep 1/' "$cases/a.bats"
	FAKE_FAULTS='1:0:deaf' in_lab 0 60
	[ "$results" = "$all" ]
	[ "$(starts)" -eq 1 ]
}

@test "the limit of a case counts from the end of the one before" {
	sed -i 's/^@test.*/&\n\tsleep 3/' "$cases/a.bats"
	in_lab 0 8
	[ "$results" = "$all" ]
}

@test "a failure before the hang stays one, also in the status" {
	SYMVM_FAIL=one FAKE_FAULTS=1:2:hangs in_lab 1 60
	[ "$results" = "not ${all}" ]
}

@test "a wrong number of seconds is one line" {
	SYMVM_LAB_STILL_SECONDS=soon run -2 lab/run true
	[ "$output" = "lab/run: SYMVM_LAB_STILL_SECONDS='soon' is not a whole number of seconds" ]
}

@test "a host that hangs or goes down before the command begins is started again, three times at most" {
	local what
	for what in hangs dies; do
		FAKE_FAULTS=1:boot:$what run -7 lab/run --timeout 120 sh -c 'exit 7'
		[ "$output" = "lab/run: the emulated host did not come up; its last words:" ]
		[ "$(starts)" -eq 2 ]
		FAKE_FAULTS="*:boot:$what" SYMVM_LAB_UP_SECONDS=1 run -125 lab/run --timeout 120 true
		[ "$(starts)" -eq 5 ]
		rm "$FAKE_STATE/starts"
	done
}

@test "a host that does not come up is counted, too" {
	FAKE_FAULTS=1:boot:hangs in_lab 0 60
	[ "$results" = "$all" ]
	[ "$(cat "$SYMVM_LAB_EVENTS")" = "the emulated host did not come up" ]
}

# crowded COMMAND...: run it on one CPU, which four busy loops want as well.
crowded() {
	local cpu loops=() status=0
	cpu=$(taskset -cp $$ | sed 's/.*[^0-9]//')
	for _ in 1 2 3 4; do
		taskset -c "$cpu" sh -c 'while :; do :; done' 3>&- &
		loops+=($!)
	done
	taskset -c "$cpu" "$@" || status=$?
	kill "${loops[@]}"
	return "$status"
}

@test "a limit follows the CPU time that the command gets, not the clock" {
	local work='import time
while time.process_time() < 3: pass'
	# By the clock this takes 3 s on an idle CPU, 15 on this one.
	crowded lab/limit 7 /usr/bin/python3 -c "$work"
	local start=$SECONDS
	run -124 crowded lab/limit 2 /usr/bin/python3 -c "${work/3/60}"
	[[ $output == *"time limit reached, 2 s"* ]]
	[ $((SECONDS - start)) -ge 4 ]
}

@test "the limit: the command's own status, its signal, its children, its output" {
	run -7 lab/limit 100 sh -c 'exit 7'
	local wrong
	for wrong in '' 5 'x true' '--each 5' '--each x 5 true' '-1 true'; do
		# shellcheck disable=SC2086
		run -1 lab/limit $wrong
		[ "$output" = 'usage: limit [--each SECONDS] SECONDS COMMAND...' ]
	done
	run -143 lab/limit 100 sh -c 'kill -TERM $$'
	run -127 lab/limit 100 no-such-command-anywhere
	run -124 lab/limit 1 sleep 100
	run -124 lab/limit 1 sh -c 'trap "" TERM; while :; do sleep 1; done'
	run -124 lab/limit --each 1 0 sh -c 'echo "ok 1"; sleep 100'
	[[ $output == *"ok 1"*"no case ended for 1 s"* ]]
	run -0 lab/limit --each 3 0 sh -c 'for i in 1 2 3 4; do sleep 1; echo "ok $i"; done; (sleep 100 2>/dev/null 3>&- &)'
	[ "${lines[-1]}" = 'ok 4' ]
	lab/limit 100 sh -c 'trap "echo got it; exit 3" TERM; echo up; while :; do sleep 0.1; done' \
		>"$BATS_TEST_TMPDIR/out" 3>&- &
	local pid=$! status=0
	until grep -q up "$BATS_TEST_TMPDIR/out"; do sleep 0.1; done
	kill -TERM "$pid"
	wait "$pid" || status=$?
	[ "$status" -eq 3 ]
	grep -q 'got it' "$BATS_TEST_TMPDIR/out"
}

@test "tests that boot guests take their limits from lab/limit, not from timeout(1)" {
	run -1 git grep -nE '(^|[^-a-z_])timeout( -k [0-9]+)? ["$0-9(]' -- tests/bare tests/calls tests/guest tests/plain \
		tests/swap tests/symbiotic guest/programs
}
