#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# swap-torture in a guest of symvm. The runs with zram show that the tests are right.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

# torture VERSION CPUS KIND TEST... -- [SYMVM OPTION]...: run these tests on that kind of swap.
torture() {
	local version=$1 cpus=$2 kind=$3 tests=()
	shift 3
	while [ "$1" != -- ]; do
		tests+=("$1")
		shift
	done
	shift
	truncate -s 64M "$scratch/disk"
	run lab/limit 200 "$symvm" run --kernel "$(guest_kernel "$version" pvh)" --cpus "$cpus" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-$version.cpio" --memory 256M \
		--disk "path=$scratch/disk" --append "$(guest_words \
			"/etc/symvm/swap $kind torture --disk /dev/vda ${tests[*]}; sleep 1")" "$@" </dev/null
	echo "$output" # shown if one of these fails
	[ "$status" -eq 0 ]
	[[ $output == *'torture ok'* ]]
	[[ $output != *'not ok'* && $output != *'# SKIP'* ]]
}

# bats test_tags=soak
@test "6.1, zram: fork, mappings, O_DIRECT, ptrace" {
	torture 6.1 1 zram fork munmap mremap mprotect dontneed o-direct ptrace --
}

# bats test_tags=soak
@test "6.12, zram: zeros, zswap, userfaultfd, process-vm, KSM" {
	torture 6.12 1 zram zeros zswap userfaultfd process-vm ksm --
}

# bats test_tags=soak
@test "6.1, a virtio disk: fork, io-uring, core dump, memcg" {
	truncate -s 512M "$scratch/swap"
	torture 6.1 1 /dev/vdb fork io-uring core-dump memcg -- --disk "path=$scratch/swap"
}

@test "6.1, the slot store: fork, mappings, O_DIRECT, ptrace, process-vm" {
	torture 6.1 1 symbiotic fork munmap mremap mprotect dontneed o-direct ptrace process-vm -- \
		--swap size=512M,policy=copy
}

@test "6.12, the slot store with a short budget: zeros, zswap, fork, userfaultfd, KSM" {
	torture 6.12 1 symbiotic zeros zswap fork userfaultfd ksm -- \
		--swap size=512M,memory=16M,compress=lz4,policy=copy
}

# unmapped VERSION POLICY TEST...: run these tests with a policy that may map, in a kernel that cannot.
unmapped() {
	local version=$1 policy=$2
	shift 2
	torture "$version" 1 symbiotic "$@; grep -H . /sys/kernel/symswap/map /sys/block/symswap0/symbiotic/maps
		dmesg | grep 'symswap: slots are'
		dmesg | grep -E 'WARNING|BUG: |Oops|Bad page|Call Trace|deprecated workqueue' && echo 'not ok kernel'; true" -- \
		--swap "size=512M,memory=48M,compress=lz4,policy=$policy"
	[[ $output == *'map:off: not with this kernel'*'maps:0'* ]]
	[ "$(grep -c 'slots are not mapped, but copied: not with this kernel' <<<"$output")" -eq 1 ]
}

# bats test_tags=soak
@test "7, the slot store, where map is refused: zeros, fork, mremap, userfaultfd, process-vm, reload" {
	unmapped 7 map zeros fork mremap userfaultfd process-vm reload
}

# map VERSION BUDGET TEST...: run these tests with the policy `map`; check that the guest followed it.
map() {
	local version=$1 budget=$2
	shift 2
	torture "$version" 1 symbiotic "$@; cd /sys/block/symswap0/symbiotic
		grep -H . maps maps_around maps_lost refused_* | tr '\n' ' '
		cat /sys/kernel/symswap/map | sed 's/^/mapping is /'
		[ \$(cat maps) -gt 100 ] && [ \$(cat maps_lost) = 0 ] && echo mapped well" -- \
		--swap "size=512M,$budget,policy=map"
	[[ $output == *'mapping is on'* && $output == *'mapped well'* ]]
}

@test "6.1, the slot store, mapped: fork, mappings, mlock, O_DIRECT, ptrace, process-vm, swapoff" {
	map 6.1 memory=256M fork munmap mremap mprotect dontneed mlock o-direct ptrace process-vm \
		swapoff
}

@test "6.12, the slot store, mapped, with a short budget: zeros, zswap, fork, userfaultfd, KSM, memcg" {
	map 6.12 memory=24M,compress=lz4 zeros zswap fork userfaultfd ksm thp memcg reload
}
