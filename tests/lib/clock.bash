# SPDX-License-Identifier: BSD-2-Clause
# Sourced by bats files: functions that wait, and that a busy machine does not cut short. In an emulated
# host the seconds are those of lab/run's limits (lab/fairclock.py), else those of the clock.

# clock_ms: print milliseconds since an arbitrary time.
clock_ms() {
	local now
	if [ -e /run/symvm-lab/clock ]; then
		read -r now </run/symvm-lab/clock
		echo "$((10#$now))"
	else
		echo $((SECONDS * 1000))
	fi
}

# wait_until SECONDS COMMAND...: poll; fails if the time is over.
wait_until() {
	local end=$(($(clock_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(clock_ms)" -lt "$end" ] || return 1
		sleep 0.2
	done
}
