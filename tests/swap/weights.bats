#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Weights of cgroups, for real: two of a kind work on more than there is room for, and what is short goes
# to the one that the guest's owner gave more weight.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# swapped_in GROUP: pages that its passes brought back by a swap-in, all but those that warm up.
swapped_in() {
	tr -d '\r' <"$scratch/console" | sed -n "s/^$1: pass .* swap_ins \([0-9]*\).*/\1/p" |
		awk '{ sum += $1 } END { print sum + 0 }'
}

@test "6.1, auto: the database's pages come back before the batch job's" {
	"$symvm" run --name weights --kernel "$(guest_kernel 6.1 pvh)" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-6.1.cpio" --memory 192M,max=224M \
		--swap size=512M,policy=auto --append "$(guest_words "/etc/symvm/swap symbiotic sh -c '
			cd /sys/fs/cgroup && echo +memory >cgroup.subtree_control && mkdir db batch || exit 1
			echo /db 1000 >/sys/kernel/symswap/weights
			echo /batch 10 >/sys/kernel/symswap/weights
			cat /sys/kernel/symswap/weights
			for group in db batch; do
				(echo 0 >\$group/cgroup.procs
				exec swap-workload --size 110 --warm-up 3 --passes 4 --seconds 20) |
					sed \"s/^/\$group: /\" &
			done
			wait; echo worked; sleep 30'" memhp_default_state=online_movable symvm.net=off)" \
		</dev/null >"$scratch/console" 2>&1 &
	guest_pid=$!
	wait_until 200 said '^worked'
	cat "$scratch/console"
	said '^db: workload ok'
	said '^batch: workload ok'
	"$symvm" swap weights --json | tee /dev/stderr | jq -e '.. | .["copy-light"]? // empty | . > 0'
	"$symvm" stop weights --force
	echo "db $(swapped_in db), batch $(swapped_in batch)"
	[ "$(swapped_in batch)" -gt 1000 ]
	[ $((4 * $(swapped_in db))) -lt "$(swapped_in batch)" ]
}
