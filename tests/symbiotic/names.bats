#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Names that guests choose, in the form that an operator sees, and log files of a VM in its jail.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

@test "a guest's process name cannot run codes in the terminal, and log files rotate in the jail" {
	GUEST_WORDS="symvm.net=off" GUEST_LIMIT=200 guest_run 6.1 bzimage 1 \
		"sh -c 'printf \"a\\033[31mX\\007\" >/proc/\$\$/comm; sleep 999; :' & sleep 1; echo guest is up; sleep 1000" \
		--name rude --initrd "$SYMVM_CACHE/images/initramfs-symbiotic-6.1.cpio" --jail trap --log-level info --log-file "$scratch/log" \
		--console "file:$scratch/console" >"$scratch/out" 2>&1 3>&- &
	guest_pid=$!
	wait_until 120 said "guest is up"
	"$symvm" ps rude >"$scratch/ps"
	grep -qF 'a\x1b[31mX\x07' "$scratch/ps"
	run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$scratch/ps"
	[ "$("$symvm" ps rude --json | jq '.tasks | length')" -eq $(($(wc -l <"$scratch/ps") - 1)) ]
	"$symvm" ps rude --json | jq -e '.tasks[] | select(.comm | startswith("a\u001b[31mX"))'

	mv "$scratch/log" "$scratch/log.1"
	mv "$scratch/console" "$scratch/console.1"
	kill -USR1 "$("$symvm" info rude --json | jq .pid)"
	wait_until 60 grep -q 'log: opened again' "$scratch/log"
	wait_until 60 test -e "$scratch/console"
	"$symvm" stop --force rude
	wait "$guest_pid" || true
	guest_pid=
	run ! grep -vE '^20[0-9-]{8}T[0-9:.]{12}Z rude symvm: [a-z]+: ' "$scratch/log"
	[ ! -s "$scratch/out" ]
}
