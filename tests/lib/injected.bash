# SPDX-License-Identifier: BSD-2-Clause
# Sourced by bats files whose guests the emulator may kill by a double interrupt.

# injected_twice: test whether the emulator, not this project, killed the guest (docs/develop/lab.md).
injected_twice() {
	[ "${SYMVM_LAB:-}" = emulated ] && tests/lib/injected-twice <<<"$output"
}

# run_again_if_injected [-STATUS] COMMAND...: bats' run; up to three times if the emulator kills the guest.
run_again_if_injected() {
	local try
	for try in 1 2 3; do
		run "$@"
		injected_twice || break
		echo "# try $try: the emulator injected an interrupt twice, which killed the guest" >&3
	done
}
