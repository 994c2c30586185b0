#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Weights of cgroups with a real guest: two equal cgroups work on more memory than there is. The scarce
# memory goes to the one to which the guest's owner gave more weight.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# passes GROUP: pass over its working set until the guest was asked.
passes() {
	tr -d '\r' <"$scratch/console" | sed -n "s/^passes of $1: //p"
}

asked_or_ended() {
	said '^asked' || ! kill -0 "$guest_pid" 2>/dev/null
}

@test "6.1, auto: the database's pages come back before the batch job's" {
	"$symvm" run --name weights --kernel "$(guest_kernel 6.1 pvh)" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-6.1.cpio" --memory 192M,max=224M \
		--swap size=512M,policy=auto --append "$(guest_words "/etc/symvm/swap symbiotic sh -c '
			cd /sys/fs/cgroup && echo +memory >cgroup.subtree_control && mkdir db batch || exit 1
			echo /db 1000 >/sys/kernel/symswap/weights
			echo /batch 10 >/sys/kernel/symswap/weights
			for group in db batch; do
				(echo 0 >\$group/cgroup.procs
				exec swap-workload --size 110 --warm-up 0 --passes 1000 --seconds 300) \
					>/tmp/\$group 2>&1 &
			done
			# The machine may be slow, so passes of the database end the race, not a time.
			until [ \$(grep -c ^pass /tmp/db) -ge 20 ]; do
				sleep 3
				echo so far: \$(grep -c ^pass /tmp/db) \$(grep -c ^pass /tmp/batch)
			done
			for group in db batch; do
				echo \"passes of \$group: \$(grep -c ^pass /tmp/\$group)\"
				grep -E \"FAILED|bad\" /tmp/\$group
			done
			echo asked; sleep 1000'" memhp_default_state=online_movable symvm.net=off)" \
		</dev/null >"$scratch/console" 2>&1 &
	guest_pid=$!
	wait_until 260 asked_or_ended
	cat "$scratch/console"
	said '^asked'
	echo "# passes: db $(passes db), batch $(passes batch)" >&3
	run ! said 'FAILED'
	"$symvm" swap weights --json | jq -e '.. | .["copy-light"]? // empty | . > 0'
	"$symvm" stop weights --force
	[ "$(passes db)" -gt $((3 * $(passes batch) + 3)) ]
}
