#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Events while a guest swaps to a slot store: the policy and the budget change, the spill file loses its
# contents, the VMM dies, CPUs and devices go and come.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# swapping VERSION CPUS TORTURE [SYMVM OPTION]...: start a guest that swaps while swap-torture runs.
swapping() {
	local version=$1 cpus=$2 tests=$3
	shift 3
	lab/limit "${GUEST_LIMIT:-240}" "$symvm" run --name live --cpus "$cpus" \
		--kernel "$(guest_kernel "$version" pvh)" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-$version.cpio" --append "$(guest_words \
			"echo swapping; ${BEFORE:-:}
			sh -c '/etc/symvm/swap symbiotic torture $tests; sleep 1; ${AFTER:-}'" \
			memhp_default_state=online_movable symvm.net=off ${WORDS:-})" \
		"$@" </dev/null >"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
	patiently 60 said '^swapping'
}

# patiently SECONDS COMMAND...: like wait_until, but a guest that shares its only CPU with the polling
# gets time to work, and the wait ends if the guest has ended.
patiently() {
	local end=$(($(clock_ms) + $1 * 1000))
	shift
	until "$@"; do
		if [ "$(clock_ms)" -ge "$end" ] || ! kill -0 "$guest_pid" 2>/dev/null; then
			echo "waited in vain for: $*"
			cat "$scratch/console"
			return 1
		fi
		sleep 2
	done
}

# well_done: check that the guest ended by itself, that every test passed, and that none was left out.
well_done() {
	wait "$guest_pid" || { cat "$scratch/console" && return 1; }
	guest_pid=
	cat "$scratch/console"
	said 'torture ok'
	run ! grep -E 'not ok|# SKIP' "$scratch/console"
}

# occupied FILE MIB: test whether the file occupies at least MIB on its file system.
occupied() {
	[ $(($(stat -c %b "$1") / 2048)) -ge "$2" ]
}

@test "6.1: nobody sees another's page for a minute, while policy and budget change every second" {
	local policies=(copy grant map auto off) budgets=(64M 2M 16M) changes=0
	local seconds=60
	[ -z "${SYMVM_SOAK:-}" ] || seconds=${SYMVM_CANARY_SECONDS:-600}
	GUEST_LIMIT=$((seconds + 180)) swapping 6.1 1 "--seconds $seconds canary" \
		--memory 192M,max=320M --swap size=256M,memory=64M,compress=lz4,policy=off
	while kill -0 "$guest_pid" 2>/dev/null; do
		"$symvm" swap live --policy "${policies[changes % 5]}" --budget "${budgets[changes % 3]}" \
			>"$scratch/swap" 2>&1 || break
		changes=$((changes + 1))
		sleep 1
	done
	well_done
	echo "$changes changes"
	[ "$changes" -ge $((seconds / 3)) ]
}

@test "6.12, 4 vCPUs, mapped: exec storms, forks, suspend; CPUs, swapoff and the driver go and come" {
	AFTER='sed "s/^/maps: /" /sys/block/symswap0/symbiotic/maps' # since the driver was last loaded
	swapping 6.12 4 '--size 8 exec-storm fork suspend hotplug swapoff reload exit' --memory 256M \
		--swap size=256M,memory=24M,compress=lz4,policy=map
	well_done
	said '^maps: [1-9][0-9][0-9]'
}

# A lost page must not affect the image itself (in ramfs, which does not swap) and the shell that runs
# the test, whose memory is charged to a cgroup that does not swap. Other processes may end; so this
# shell ends the guest.
keep_the_system() {
	WORDS='rootfstype=ramfs loglevel=1'
	BEFORE='mount -t cgroup2 none /sys/fs/cgroup; echo +memory >/sys/fs/cgroup/cgroup.subtree_control
		mkdir /sys/fs/cgroup/system; echo 0 >/sys/fs/cgroup/system/memory.swap.max
		echo $$ >/sys/fs/cgroup/system/cgroup.procs'
	AFTER='poweroff -f'
}

@test "6.1: the spill file loses its contents: only pages that lay there are lost, and are reported" {
	keep_the_system
	truncate -s 0 "$scratch/spill"
	swapping 6.1 1 '--size 96 --seconds 30 --allow-sigbus load' --memory 128M \
		--swap "size=256M,memory=4M,compress=none,policy=copy,spill=$scratch/spill"
	patiently 60 occupied "$scratch/spill" 16
	truncate -s 1M "$scratch/spill"
	well_done
	said 'load: process .* [1-9][0-9]* pages lost'
}

@test "6.1: the VMM is killed while its guest swaps, and the same VM starts again" {
	truncate -s 0 "$scratch/spill"
	local swap=size=256M,memory=4M,compress=none,policy=copy,spill=$scratch/spill
	swapping 6.1 1 '--size 96 --seconds 60 load' --memory 128M --swap "$swap"
	patiently 60 occupied "$scratch/spill" 4
	pkill -KILL -P "$guest_pid"
	run ! wait "$guest_pid"
	swapping 6.1 1 '--size 64 --seconds 5 canary load' --memory 128M --swap "$swap"
	well_done
}
