#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# The decision with a real guest: a guest has too little RAM for its work. While it swaps, the VMM
# gives it more, and it stops swapping.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# number PATTERN: print the number after its last match in the guest's output.
number() {
	tr -d '\r' <"$scratch/console" | sed -n "s/^$1 \([0-9]*\).*/\1/p" | tail -n1
}

# grant_ends_swapping VERSION MIB: let a guest of 256 MiB work on MIB.
grant_ends_swapping() {
	local version=$1 size=$2

	"$symvm" run --name grant --kernel "$(guest_kernel "$version" pvh)" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-$version.cpio" --memory 256M,max=1G \
		--swap size=1G,policy=grant --append "$(guest_words "/etc/symvm/swap symbiotic \
			swap-workload --size $size --warm-up 5 --passes 1
			cd /sys/block/symswap0/symbiotic
			sed 's/^/grants /' verdicts_grant; sed 's/^/written /' writes
			dmesg | grep -E 'WARNING: CPU|BUG: |Oops|Bad page' && echo WRONG kernel
			echo asked; sleep 1000" memhp_default_state=online_movable)" \
		</dev/null >"$scratch/console" 2>&1 &
	guest_pid=$!
	wait_until 240 said '^asked'
	cat "$scratch/console"
	# The guest did swap, most of it while it filled its memory, and then it evicts nothing any more. (A
	# random pass may still be the first to touch a page that was evicted before: such pages come in.)
	[ "$(number written)" -gt 1000 ]
	[ "$(number 'pass random [0-9]* .* swap_outs')" -lt 100 ]
	said '^workload ok'
	run ! said WRONG
	# The guest asked inside its exits, and the VMM decided to grant.
	[ "$(number grants)" -gt 0 ]
	"$symvm" swap grant --json | tee /dev/stderr | jq -e '.. | .["grant-given"]? // empty | . > 0'
	[ "$("$symvm" memory grant --json | tee /dev/stderr | jq '.size - .boot')" -gt 0 ]
	"$symvm" stop grant --force
}

@test "6.1, grant: the VMM gives RAM when the guest swaps, and the swapping ends" {
	grant_ends_swapping 6.1 280
}

@test "6.12, grant: beyond what Linux adds at once" {
	grant_ends_swapping 6.12 410
}

# bats test_tags=soak
@test "7, grant: the VMM gives RAM when the guest swaps, and the swapping ends" {
	grant_ends_swapping 7 410
}
