# SPDX-License-Identifier: BSD-2-Clause
# Sourced by bats files whose guests the emulator may kill by a double interrupt.

# injected_twice: test whether the emulator, not this project, killed the guest (docs/develop/lab.md).
injected_twice() {
	[ "${SYMVM_LAB:-}" = emulated ] && tests/lib/injected-twice <<<"$output"
}
