# SPDX-License-Identifier: BSD-2-Clause
# Sourced by bats files whose VM is a program: tests/cli/fake_vm.py.

# fake [OPTION]...: play the VM "vm" (fake_vm.py).
fake() {
	mkdir -m 700 -p "$SYMVM_RUNTIME_DIR"
	/usr/bin/python3 tests/cli/fake_vm.py "$SYMVM_RUNTIME_DIR/vm" "$@" 3>&- &
	fake_pid=$!
	for _ in $(seq 100); do
		[ ! -e "$SYMVM_RUNTIME_DIR/vm.ready" ] || return 0
		sleep 0.1
	done
	return 1
}
