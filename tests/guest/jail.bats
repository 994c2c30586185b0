#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A whole VM in its jail: the kernel's view of each of its threads, while the VM uses all its devices.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

field() {
	"$symvm" info "$1" --json | jq -r "$2"
}

is_answering() {
	"$symvm" info "$1" >/dev/null 2>&1
}

state_is_empty() {
	[ -z "$(ls -A "$SYMVM_RUNTIME_DIR")" ]
}

# threads_are_jailed PID UID: check that each thread has no capability in any set, no_new_privs, a filter,
# and that user.
threads_are_jailed() {
	local task set
	for task in "/proc/$1/task"/*; do
		for set in CapInh CapPrm CapEff CapBnd CapAmb; do
			grep -q "^$set:[[:space:]]*0*$" "$task/status" || {
				echo "$(cat "$task/comm"): $(grep Cap "$task/status")"
				return 1
			}
		done
		grep -q '^NoNewPrivs:.*1$' "$task/status"
		grep -q '^Seccomp:.*2$' "$task/status"
		grep -q "^Uid:[[:space:]]$2[[:space:]]$2[[:space:]]$2[[:space:]]$2$" "$task/status"
	done
	grep -q '^Max core file size *0 *0' "/proc/$1/limits"
	[ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}

# The guest's work: it uses each device once, reboots, and then rests.
work='dd if=/dev/vda of=/dev/null bs=64k count=8 2>/dev/null
dd if=/dev/zero of=/dev/vda bs=64k count=8 conv=fsync 2>/dev/null
dd if=/dev/hwrng of=/dev/null bs=16 count=1 2>/dev/null
echo hello >/dev/hvc0
ping -c 1 -W 5 10.0.2.2 >/dev/null 2>&1
nslookup symvm.invalid 10.0.2.3 >/dev/null 2>&1
echo guest is up
sleep 1000'

# start_all NAME [OPTION]...: start a VM with each kind of device that needs nothing of the host.
start_all() {
	local name=$1
	shift
	truncate -s 8M "$scratch/disk"
	GUEST_LIMIT=400 guest_run 6.1 bzimage 2 "$work" --name "$name" --jail trap \
		--disk "path=$scratch/disk" --net user --rng --virtio-console "socket:$scratch/hvc" \
		--swap "size=64M,memory=16M,spill=$scratch/spill" "$@" \
		>"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
	wait_until 200 said 'guest is up' || {
		cat "$scratch/console"
		return 1
	}
}

# use_all NAME: use all commands from outside.
use_all() {
	"$symvm" list | grep -q "$1"
	"$symvm" info "$1" >/dev/null
	"$symvm" swap "$1" >/dev/null
	"$symvm" metrics "$1" >/dev/null
	"$symvm" pause "$1"
	"$symvm" resume "$1"
}

@test "root's VM runs as an id of its own, without capabilities or paths, and works" {
	unset SUDO_UID SUDO_GID PKEXEC_UID
	start_all all
	local pid uid
	pid=$(field all .pid)
	uid=$(field all .jail.uid)
	[ "$uid" -ne 0 ]
	threads_are_jailed "$pid" "$uid"
	[ "$(field all .jail.capabilities)" = none ]
	[ "$(field all .jail.namespaces)" = mount ]
	[[ $(field all .jail.filters) == *"user network"*"console socket"*"slot store"* ]]
	[ -z "$(ls "/proc/$pid/root")" ]
	use_all all
	"$symvm" stop --force all
	wait "$guest_pid" || [ $? -eq 5 ]
	state_is_empty
	[ ! -e "$scratch/hvc" ]
}

@test "root's VM without a network has none, and runs as the user of --user" {
	GUEST_WORDS="symvm.net=off symvm.modules=none" GUEST_LIMIT=200 guest_run 6.1 bzimage 1 \
		"echo guest is up; sleep 1000" --name bare --jail trap --user 1234:5678 \
		>"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
	wait_until 120 said 'guest is up'
	local pid
	pid=$(field bare .pid)
	threads_are_jailed "$pid" 1234
	grep -q '^Gid:[[:space:]]5678' "/proc/$pid/status"
	[ "$(field bare .jail.namespaces)" = "mount, network" ]
	[ "$(field bare .jail.filters)" = base ]
	[ -z "$(ls "/proc/$pid/root")" ]
	"$symvm" stop bare --timeout 100
	wait "$guest_pid"
	state_is_empty
}

@test "a plain user's VM has a jail, too, which root may ask" {
	mkdir "$SYMVM_RUNTIME_DIR"
	chown 1000:1000 "$SYMVM_RUNTIME_DIR" "$scratch"
	chmod 755 "$scratch"
	truncate -s 8M "$scratch/disk"
	chown 1000:1000 "$scratch/disk"
	chmod 666 /dev/kvm
	lab/limit 300 setpriv --reuid 1000 --regid 1000 --clear-groups "$symvm" run \
		--kernel "$(guest_kernel 6.1 bzimage)" \
		--initrd "$SYMVM_CACHE/images/initramfs-6.1.cpio" --memory 256M \
		--append "$(guest_words "$work")" --name plain --jail trap --net user \
		--disk "path=$scratch/disk" --virtio-console "socket:$scratch/hvc" --rng \
		</dev/null >"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
	wait_until 200 said 'guest is up'
	local pid as_plain=(setpriv --reuid 1000 --regid 1000 --clear-groups)
	pid=$("${as_plain[@]}" "$symvm" info plain --json | jq -r .pid)
	[ "$("${as_plain[@]}" "$symvm" info plain --json | jq -r .jail.uid)" = 1000 ]
	threads_are_jailed "$pid" 1000
	run "${as_plain[@]}" "$symvm" run --kernel /dev/null --user 1234 --name other
	[ "$status" -eq 1 ]
	[ "$output" = "symvm: --user: only root can run a VM as another user" ]
	"${as_plain[@]}" "$symvm" stop --force plain
	wait "$guest_pid" || [ $? -eq 5 ]
	state_is_empty
	[ ! -e "$scratch/hvc" ]
}
