#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A hostile bare guest against a symvm with AddressSanitizer and UBSan (scripts/build-sanitized):
# no crash, no report, the guest touches only its own memory and disk, and the VM still obeys.
#
# One run is a whole minute without a pause. SYMVM_HOSTILE_SEEDS sets the seeds, SYMVM_HOSTILE_SECONDS
# the length of each run. The output has the seed.

. "$BATS_TEST_DIRNAME/../lib/bare.bash"
guest=$build/guest/bare/hostile/hostile.elf

explain() {
	echo "seed $seed"
	tail -c 2000 "$scratch/console"
	tail -n 20 "$scratch/log"
	cat "$scratch/info" 2>/dev/null
	cat "$scratch"/report* 2>/dev/null
	return 1
}

# until SECONDS COMMAND...: poll; fails if the time is over or the VM has ended.
until_holds() {
	local end=$(($(clock_ms) + $1 * 1000))
	shift
	while [ "$(clock_ms)" -lt "$end" ]; do
		! "$@" || return 0
		kill -0 "$vm" 2>/dev/null || return 1
		sleep 0.25
	done
	return 1
}

is_done() {
	grep -aq 'hostile: done' "$scratch/console"
}

# files_make: make a disk, a read-only disk, and in the same directory a file that the VM does not use.
files_make() {
	truncate -s 2M "$scratch/disk"
	head -c 1048576 /dev/urandom >"$scratch/readonly"
	head -c 1048576 /dev/urandom >"$scratch/bystander"
	(cd "$scratch" && sha256sum readonly bystander >sums)
}

# value FILTER: print a value of `symvm info --json`, taken after the attack.
value() {
	jq -r "$1" "$scratch/info"
}

# The attack reached the movement of data. Otherwise it would test only the decoding of registers. On
# a very slow machine an attack may be too short for that.
went_deep() {
	local steps
	steps=$(sed -n 's/^# \([0-9]*\) + \([0-9]*\) steps.*/\1/p' "$scratch/console" | tail -n 1)
	[ "$steps" -ge 2000 ] || return 0
	[ "$(value '[.devices[] | select(.name == "disk0")][0] | .reads * .written_bytes')" -gt 0 ] &&
		[ "$(value '[.devices[] | select(.name == "net0")][0].tx_frames')" -gt 0 ] &&
		[ "$(value '[.devices[] | select(.name == "rng0")][0].bytes')" -gt 0 ] &&
		[ "$(value '[.devices[] | select(.name == "console0")][0].bytes_out')" -gt 0 ]
}

# io_ticks: print the CPU time of the I/O thread so far, in ticks.
io_ticks() {
	local task
	for task in "/proc/$(value .pid)/task"/*; do
		[ "$(cat "$task/comm")" != io ] || awk '{ print $14 + $15 }' "$task/stat"
	done
}

# The guest is quiet now, so the I/O thread must be quiet, too: no event source may spin.
io_rests() {
	local before
	before=$(io_ticks)
	sleep 2
	[ $(($(io_ticks) - before)) -lt $(($(getconf CLK_TCK) / 2)) ]
}

# crashed_itself: test whether the guest ended by a triple fault, which is allowed, and symvm reported
# it and ended in order.
crashed_itself() {
	local status=0
	! kill -0 "$vm" 2>/dev/null || return 1
	wait "$vm" || status=$?
	vm=
	[ "$status" -eq 4 ] && no_report && grep -q 'the guest crashed (triple fault)' "$scratch/log"
}

# attack SEED CPUS SECONDS: make one run, and judge it from outside. Sets crashed if the guest ended early.
attack() {
	seed=$1 crashed=
	local cpus=$2 seconds status=0 options=()
	seconds=$(attack_seconds "$3")
	[ ! -e /dev/vhost-vsock ] || options=(--vsock cid=$((1000 + seed)))
	echo "# seed $seed, $cpus CPUs: starts" >&3
	files_make
	rm -f "$scratch"/report* "$scratch/console"
	lab/limit $((seconds + 240)) "$symvm_sanitized" run --name "$name" --kernel "$guest" \
		--memory 64M --cpus "$cpus" --append "hostile seed=$seed seconds=$seconds cpus=$cpus" \
		--disk "path=$scratch/disk,queues=2" --disk "path=$scratch/readonly,readonly" \
		--on-triple-fault crash --swap size=16M,memory=4M --net user --rng --virtio-console "file:$scratch/hvc" "${options[@]}" \
		--console "file:$scratch/console" --log-file "$scratch/log" \
		</dev/null >"$scratch/output" 2>&1 3>&- &
	vm=$!
	if ! until_holds $((seconds + 180)) is_done; then
		crashed_itself || explain
		crashed=1
		echo "# seed $seed: the guest crashed itself" >&3
		return
	fi
	lab/limit 60 "$symvm_sanitized" info "$name" --json >"$scratch/info" || explain
	went_deep || explain
	io_rests || explain
	lab/limit 90 "$symvm_sanitized" stop "$name" --timeout 1800 || explain
	wait "$vm" || status=$?
	vm=
	[ "$status" -eq 0 ] || explain
	no_report || explain
	! grep -aq '^not ok' "$scratch/console" || explain
	(cd "$scratch" && sha256sum --quiet -c sums) || explain
	[ "$(stat -c %s "$scratch/disk")" -eq 2097152 ] || explain
	# Guests can cause at most 20 lines a second.
	[ "$(wc -l <"$scratch/log")" -le $((25 * (seconds + 240))) ] || explain
	echo "# seed $seed, $cpus CPUs, $seconds s: $(grep -a '^# .* steps' "$scratch/console" | tail -n 1)" >&3
}

# attacks CPUS SECONDS: attack with each seed. If the guest crashed itself, which does not happen each
# time in the lab, try that seed again.
attacks() {
	local seed_of_run
	for seed_of_run in ${SYMVM_HOSTILE_SEEDS:-$((RANDOM + 100))}; do
		for _ in 1 2 3; do
			attack "$seed_of_run" "$1" "$2"
			[ -n "$crashed" ] || break
		done
		[ -z "$crashed" ]
	done
}

# bats test_tags=soak
@test "hostile guest, one CPU, a whole minute" {
	attacks 1 60
}

@test "hostile guest, two CPUs at the same queues" {
	attacks 2 20
}
