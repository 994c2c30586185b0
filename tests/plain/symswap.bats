#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# symswap.ko on plain QEMU, by TCG, with a stand-in for the VMM. The stand-in takes slots, refuses
# requests, and asks for mapped slots as often as it can. There is no nested paging, so this is quick and
# does not hang.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	. scripts/common.sh
}

# plain VERSION CPUS COMMAND: run it, and check that the guest's output is right.
plain() {
	run -0 tests/plain/run "$1" "$2" "$3"
	echo "$output" >&2
	[[ $output != *'not ok'* ]]
}

# torture VERSION CPUS MAPPED TEST...: run these tests; MAPPED is `map [AROUND [CREDIT]]` or `true`.
torture() {
	local version=$1 cpus=$2 mapped=$3
	shift 3
	plain "$version" "$cpus" "fake revoke=7
		echo y >/sys/kernel/mm/lru_gen/enabled
		mkswap /dev/symswap0 >/dev/null && swapon /dev/symswap0
		$mapped
		swap-torture --size 8 --seconds 2 --device /dev/symswap0 --disk /dev/symswap1 \
			--module symswap $*
		stats
		swapoff /dev/symswap0
		echo wrong \$(cat /sys/module/symbiotic/parameters/wrong)
		echo lost \$(stat maps_lost)
		rmmod symswap && rmmod symbiotic && echo gone"
	[[ $output == *'torture ok'*'wrong 0'*'lost 0'*gone* ]]
}

@test "6.1: slots are mapped: every test of swap-torture, two CPUs" {
	[ -n "${SYMVM_SOAK:-}" ] || skip 'make soak runs it; stage swap runs most of them'
	torture 6.1 2 map all
	[[ $output =~ maps:[0-9]{3} ]]
}

@test "6.12: slots are mapped: every test of swap-torture, two CPUs" {
	torture 6.12 2 "map 512" all
	[[ $output =~ maps:[0-9]{3} ]]
}

@test "6.12: slots are mapped: slots used again and again, four CPUs" {
	torture 6.12 4 'map 1 4' canary swapoff reload
}

@test "6.1: slots of two devices are mapped side by side" {
	plain 6.1 2 'fake revoke=7
		map
		# The test of swapoff leaves both with the same priority, so that they take turns.
		for i in 0 1; do
			mkswap /dev/symswap$i && swapon /dev/symswap$i
			swap-torture --size 8 --seconds 2 --device /dev/symswap$i swapoff
		done
		swap-torture --size 8 --seconds 2 fork munmap mremap process-vm canary
		for i in 0 1; do echo "maps of $i: $(stat maps $i)+$(stat maps_around $i)"; done
		swapoff /dev/symswap0 && swapoff /dev/symswap1
		echo left $(stat maps_lost 0) $(stat maps_lost 1)
		rmmod symswap && rmmod symbiotic && echo gone'
	[[ $output == *'torture ok'*'left 0 0'*gone* ]]
	[[ $output =~ 'maps of 0: '[1-9][0-9]+'+'[0-9] && $output =~ 'maps of 1: '[1-9][0-9]+'+'[0-9] ]]
}

@test "6.1: slots are copied" {
	torture 6.1 2 true fork mremap zeros zswap process-vm reload
	[[ $output != *maps:* ]]
}

# weights: the part of a guest's script that asks for weights. A path's tail is not a path, and the front of a
# long one counts.
weights='
cd /sys/fs/cgroup
long=$(head -c 91 /dev/zero | tr "\\0" x)
mkdir -p db far/db/$long pods/$long/$long
echo "/db 1000" >/sys/kernel/symswap/weights
echo "/pods 500" >/sys/kernel/symswap/weights
echo "/none 500" 2>/dev/null >/sys/kernel/symswap/weights && echo "not ok a weight of nothing"
echo +memory >cgroup.subtree_control
heaviest() {
	echo 0 >/sys/module/symbiotic/parameters/heaviest
	(
		echo 0 >$1/cgroup.procs
		x=$(head -c 2000000 /dev/zero | tr "\\0" a)
		echo 4M 2>/dev/null >${1%%/*}/memory.reclaim
		echo "$x" >/dev/null
	)
	echo "weight of ${1%%/*}: $(cat /sys/module/symbiotic/parameters/heaviest)"
}
heaviest db
heaviest far/db/$long
heaviest pods/$long/$long
rmdir db
cat /sys/kernel/symswap/weights | sed "s/^/weights: /"
cd /
'

@test "6.12: without mappings the module says so; words of a kernel that ended by kexec; weights" {
	plain 6.12 1 "SYMSWAP=map=0 && fake stale=1
		mkswap /dev/symswap0 >/dev/null && swapon /dev/symswap0
		map
		swap-torture --size 8 fork
		stats
		dmesg | grep Write-error && echo 'not ok a slot cannot be taken'
		$weights"
	[[ $output == *'off: not wanted (map=0)'*'torture ok'* ]]
	[[ $output != *maps:* && $output != *refused_* ]]
	[[ $output == *'weight of db: 1000'*'weight of far: 100'*'weight of pods: 500'* ]]
	[[ $output == *'weights: /pods 500'* && $output != *'weights: /db'* ]]
}

@test "7: slots cannot be mapped, and are copied" {
	torture 7 2 map fork mremap zeros zswap process-vm userfaultfd reload
	[[ $output == *'off: not with this kernel'* ]]
	[[ $output != *maps:* ]]
}
