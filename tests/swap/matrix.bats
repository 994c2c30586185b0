#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=soak
# All tests of swap-torture, on each kernel, with one and four vCPUs, under each policy. Slots cannot be
# mapped with 7.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

# everything: run all tests on what the case's name says (kernel, vCPUs, policy), with two fake nodes
# for NUMA balancing and a budget into which the tests do not fit. bats and scripts/bats-in-lab read the
# cases from the text of this file, so a loop cannot make them.
everything() {
	local version cpus policy
	[[ $BATS_TEST_DESCRIPTION =~ ^everything:\ (.*),\ (.*)\ vCPUs?,\ (.*)$ ]]
	version=${BASH_REMATCH[1]} cpus=${BASH_REMATCH[2]} policy=${BASH_REMATCH[3]}
	truncate -s 64M "$scratch/disk"
	run lab/limit 3000 "$symvm" run --kernel "$(guest_kernel "$version" pvh)" --cpus "$cpus" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-$version.cpio" --memory 256M,max=384M \
		--disk "path=$scratch/disk" --swap "size=512M,memory=48M,compress=lz4,policy=$policy" \
		--append "$(guest_words "/etc/symvm/swap symbiotic torture --disk /dev/vda all; sleep 1" \
			memhp_default_state=online_movable symvm.net=off numa=fake=2)" </dev/null
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *'torture ok'* && $output != *'not ok'* ]]
	# With one vCPU none can go offline.
	[ "$(grep -c '# SKIP' <<<"$output")" -eq $((cpus == 1)) ]
}

@test "everything: 6.1, 1 vCPU, copy" {
	everything
}

@test "everything: 6.1, 1 vCPU, grant" {
	everything
}

@test "everything: 6.1, 1 vCPU, map" {
	everything
}

@test "everything: 6.1, 1 vCPU, auto" {
	everything
}

@test "everything: 6.1, 4 vCPUs, copy" {
	everything
}

@test "everything: 6.1, 4 vCPUs, grant" {
	everything
}

@test "everything: 6.1, 4 vCPUs, map" {
	everything
}

@test "everything: 6.1, 4 vCPUs, auto" {
	everything
}

@test "everything: 6.12, 1 vCPU, copy" {
	everything
}

@test "everything: 6.12, 1 vCPU, grant" {
	everything
}

@test "everything: 6.12, 1 vCPU, map" {
	everything
}

@test "everything: 6.12, 1 vCPU, auto" {
	everything
}

@test "everything: 6.12, 4 vCPUs, copy" {
	everything
}

@test "everything: 6.12, 4 vCPUs, grant" {
	everything
}

@test "everything: 6.12, 4 vCPUs, map" {
	everything
}

@test "everything: 6.12, 4 vCPUs, auto" {
	everything
}

@test "everything: 7, 1 vCPU, copy" {
	everything
}

@test "everything: 7, 1 vCPU, grant" {
	everything
}

@test "everything: 7, 1 vCPU, auto" {
	everything
}

@test "everything: 7, 4 vCPUs, copy" {
	everything
}

@test "everything: 7, 4 vCPUs, grant" {
	everything
}

@test "everything: 7, 4 vCPUs, auto" {
	everything
}
