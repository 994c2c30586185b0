#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Stock Debian kernels under symvm: boot, work, and every way to end.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

# work VERSION START CPUS: boot the root disk, let it work (apt, dd, sums), power it off.
work() {
	local sum shift
	mkdir -p "$scratch/repository"
	printf 'Package: symvm-test\nVersion: 1\nArchitecture: all\nMaintainer: none <none@invalid>\nFilename: ./none.deb\nSize: 1\nSHA256: %064d\nDescription: in a list only\n' 0 \
		>"$scratch/repository/Packages"
	head -c 8388608 /dev/urandom >"$scratch/repository/file"
	http_serve "$scratch/repository"
	# 256 MiB in which no two sectors are the same: random bytes again and again, shifted each time.
	head -c 16777216 /dev/urandom >"$scratch/block"
	for shift in {1..17}; do
		head -c "$shift" /dev/zero | cat - "$scratch/block"
	done | head -c 268435456 >"$scratch/data"
	rm "$scratch/block"
	sum=$(md5sum <"$scratch/data")
	cp --sparse=always "$SYMVM_CACHE/images/root.img" "$scratch/root.img"
	"$expect" --timeout 600 \
		'login: ' 'root\n' \
		':~# ' 'stty -echo; PS1=ready:; set -e\n' \
		'ready:' "echo 'deb [trusted=yes] http://10.0.2.2:$http_port ./' > /etc/apt/sources.list; apt-get -q update && apt-cache policy symvm-test\n" \
		'Candidate: 1' "busybox wget -q -O /tmp/file http://10.0.2.2:$http_port/file; sha256sum < /tmp/file\n" \
		"$(sha256sum <"$scratch/repository/file")" 'nproc; dd if=/dev/vdb of=/copy bs=1M status=none; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum < /copy\n' \
		"$sum" 'cat /copy > /dev/vdc; sync; echo written\n' \
		'written' 'poweroff\n' \
		-- "$symvm" run --kernel "$(guest_kernel "$1" "$2")" --cpus "$3" --memory 512M \
		--initrd "$SYMVM_CACHE/images/initramfs-$1.cpio" \
		--append 'console=ttyS0 quiet panic=1 symvm.root=/dev/vda' \
		--disk "path=$scratch/root.img" --disk "path=$scratch/data,readonly" \
		--disk "path=$scratch/target" --net user,host-loopback=yes
	# The guest's data reached the host's file.
	cmp "$scratch/data" "$scratch/target"
}

# bats test_tags=soak
@test "6.1, bzImage, 1 vCPU: log in, apt-get update, 256 MiB by virtio-blk, power off" {
	truncate -s 256M "$scratch/target"
	work 6.1 bzimage 1
}

@test "6.12, PVH, 4 vCPUs: log in, apt-get update, 256 MiB by virtio-blk, power off" {
	truncate -s 256M "$scratch/target"
	work 6.12 pvh 4
}

# bats test_tags=soak
@test "every kernel, start and number of vCPUs" {
	local version start cpus
	for version in 6.1 6.12; do
		for start in bzimage pvh; do
			for cpus in 1 2 4 16; do
				rm -f "$scratch/target"
				truncate -s 256M "$scratch/target"
				work "$version" "$start" "$cpus"
				kill "$http_pid"
			done
		done
	done
}

# The small image in the combinations that the root disk does not cover.
small() {
	head -c 33554432 /dev/urandom >"$scratch/disk"
	truncate -s 32M "$scratch/target"
	run -0 guest_run "$1" "$2" "$3" 'nproc; uname -r; sha256sum < /dev/vda
		ip -4 addr show eth0 | grep -o "10\.0\.2\.15/"; cat /dev/vda > /dev/vdb; sync' \
		--disk "path=$scratch/disk,readonly" --disk "path=$scratch/target" --net user
	[[ $output == *'symvm-init: started'* ]]
	[[ $output == *"$(cat "$SYMVM_CACHE/kernels/$1/release")"* ]]
	[[ $output == *"$(sha256sum <"$scratch/disk")"* ]]
	[[ $output == *10.0.2.15/* && $output == *'symvm-exit: 0'* ]]
	grep -qx "$3" <(tr -d '\r' <<<"$output")
	cmp "$scratch/disk" "$scratch/target"
}

# bats test_tags=soak
@test "6.1, PVH, 4 vCPUs: disk and network" {
	small 6.1 pvh 4
}

# bats test_tags=soak
@test "6.12, bzImage, 1 vCPU: disk and network" {
	small 6.12 bzimage 1
}

# bats test_tags=together
@test "a guest's reboot: restarts, or ends with status 6" {
	GUEST_WORDS=symvm.end=reboot run -6 guest_run 6.1 pvh 2 'echo once' --on-reboot exit
	[[ $output == *'symvm-exit: 0'* ]]
	# A flag on the disk makes the second boot power off.
	truncate -s 1M "$scratch/disk"
	run -0 guest_run 6.1 pvh 2 '[ "$(head -c 5 /dev/vda)" != again ] || poweroff -f
		printf again | dd of=/dev/vda conv=notrunc 2>/dev/null; sync; reboot -f' \
		--disk "path=$scratch/disk"
	[ "$(grep -c 'symvm-init: started' <<<"$output")" -eq 2 ]
}

# The other ways in which Linux reboots: the triple fault of microVM kernels, and Firecracker's keyboard
# controller.
# bats test_tags=together
@test "reboot=t and reboot=k reboot at once" {
	local way
	for way in t k; do
		GUEST_WORDS="reboot=$way symvm.end=reboot symvm.net=off" run -6 guest_run 6.1 bzimage 2 \
			'echo once' --on-reboot exit
		[[ $output == *'symvm-exit: 0'* && $output != *crashed* ]]
	done
	GUEST_WORDS='reboot=t symvm.end=reboot symvm.net=off' run -4 guest_run 6.1 bzimage 1 'echo once' \
		--on-triple-fault crash
	[[ $output == *'the guest crashed (triple fault)'* ]]
}

# bats test_tags=soak
@test "every way to reboot, of either kernel, restarts" {
	local version way
	for version in 6.1 6.12; do
		for way in t k a b e p; do
			rm -f "$scratch/disk"
			truncate -s 1M "$scratch/disk"
			GUEST_WORDS="reboot=$way symvm.net=off" run -0 guest_run "$version" pvh 4 \
				'[ "$(head -c 5 /dev/vda)" != again ] || poweroff -f
				printf again | dd of=/dev/vda conv=notrunc 2>/dev/null; sync; reboot -f' \
				--disk "path=$scratch/disk"
			[ "$(grep -c 'symvm-init: started' <<<"$output")" -eq 2 ]
		done
	done
}

# Kernels for Firecracker are such files.
# bats test_tags=together
@test "an ELF kernel without a PVH note starts by the 64-bit protocol; pci=off gets a hint" {
	: >"$scratch/none"
	objcopy --update-section .notes="$scratch/none" "$(guest_kernel 6.1 pvh)" "$scratch/vmlinux"
	run readelf -nW "$scratch/vmlinux" # 1: no notes at all
	[[ $output != *Xen* ]]
	run -0 lab/limit "${GUEST_LIMIT:-240}" "$symvm" run --kernel "$scratch/vmlinux" --cpus 2 \
		--initrd "$SYMVM_CACHE/images/initramfs-6.1.cpio" --memory 256M </dev/null \
		--append "$(guest_words 'nproc; ls /sys/bus/pci' pci=off symvm.net=off)"
	[[ $output == *'symvm-exit:'* && $output == *'pci=off: the guest sees no disk'* ]]
	grep -qx 2 <(tr -d '\r' <<<"$output")
}

# bats test_tags=together
@test "a console on a terminal: keys arrive, the terminal is put back, Ctrl-A x ends the guest" {
	run -0 "$expect" --tty --timeout 400 '# ' 'stty -echo; echo n""ow\n' 'now' '\x01x' 'status 5' '\n' -- \
		bash -c 'before=$(stty -g); "$@"; status=$?; [ "$before" = "$(stty -g)" ] && echo "status $status"
			read -r line' bash "$symvm" run --kernel "$(guest_kernel 6.1 pvh)" --memory 256M \
		--initrd "$SYMVM_CACHE/images/initramfs-6.1.cpio" --append 'console=ttyS0 quiet'
}

# bats test_tags=together
@test "a guest's panic ends with status 3" {
	GUEST_WORDS=symvm.end=panic run -3 guest_run 6.1 pvh 1 'echo now'
	[[ $output == *'Kernel panic - not syncing'* ]]
}

# bats test_tags=together
@test "a panic's text is in the log, with no console at all" {
	run -3 lab/limit "${GUEST_LIMIT:-240}" "$symvm" run --kernel "$(guest_kernel 6.1 bzimage)" \
		--initrd "$SYMVM_CACHE/images/initramfs-symbiotic-6.1.cpio" --memory 256M --console none \
		--append "$(guest_words 'echo c >/proc/sysrq-trigger' symvm.net=off)" </dev/null
	[[ $output == *"the guest's kernel panicked: sysrq triggered crash"* ]]
}

# bats test_tags=together
@test "huge pages that are missing: one line, status 1, no signal" {
	run -1 "$symvm" run --kernel "$(guest_kernel 6.1 pvh)" --memory 256M,huge
	[[ $output == *'no huge pages: 128 of 2 MiB needed, '*' missing' && ${#lines[@]} -eq 1 ]]
}

# start_guest COMMAND [OPTION]...: start it in the background, its console in $scratch/console; set guest_pid.
start_guest() {
	local command=$1
	shift
	"$symvm" run --name test --kernel "$(guest_kernel 6.1 pvh)" --memory 256M \
		--initrd "$SYMVM_CACHE/images/initramfs-6.1.cpio" --console "file:$scratch/console" \
		--append "$(guest_words "$command")" "$@" </dev/null >"$scratch/log" 2>&1 3>&- &
	guest_pid=$!
	wait_until 200 grep -qs 'guest is up' "$scratch/console"
}

# guest_ended: wait for its end; set $status to its status.
guest_ended() {
	status=0
	wait "$guest_pid" || status=$?
	guest_pid=
}

# bats test_tags=together
@test "the power button and SIGTERM power the guest off; a second signal ends with 5; kill -9 frees the name" {
	start_guest 'echo guest is up; sleep 1000'
	"$symvm" stop test
	guest_ended
	[ "$status" -eq 0 ]
	grep -q 'power button' "$scratch/console"
	rm "$scratch/console"

	start_guest 'echo guest is up; sleep 1000'
	run -1 "$symvm" run --name test --kernel "$(guest_kernel 6.1 pvh)"
	[[ $output == *test* ]]
	kill -TERM "$guest_pid"
	guest_ended
	[ "$status" -eq 0 ]
	grep -q 'power button' "$scratch/console"
	rm "$scratch/console"

	start_guest 'echo guest is up; sleep 1000'
	kill -KILL "$guest_pid"
	guest_ended
	[ "$status" -eq 137 ]
	run "$symvm" list
	[[ $output != *test* ]]
	rm "$scratch/console"

	# The guest does not answer the button, because the process that waits for it is stopped.
	start_guest 'killall -STOP dd; echo guest is up; sleep 1000'
	kill -TERM "$guest_pid"
	sleep 2 # two signals that are pending at once are one
	kill -TERM "$guest_pid"
	guest_ended
	[ "$status" -eq 5 ]
}

# bats test_tags=together
@test "a disk whose file system is full, and a file cut off beneath: errors in the guest only" {
	mkdir "$scratch/small"
	mount -t tmpfs -o size=8m tmpfs "$scratch/small"
	truncate -s 64M "$scratch/small/disk"
	truncate -s 32M "$scratch/cut"
	start_guest 'echo guest is up; dd if=/dev/zero of=/dev/vda bs=1M oflag=direct || echo disk is full
		until [ "$(cat /sys/block/vdb/ro)" = 0 ] && ! dd if=/dev/vdb of=/dev/null bs=1M iflag=direct
		do sleep 1; done; echo "read error seen"' \
		--disk "path=$scratch/small/disk" --disk "path=$scratch/cut"
	wait_until 100 grep -q 'disk is full' "$scratch/console"
	truncate -s 0 "$scratch/cut"
	wait_until 100 grep -q 'read error seen' "$scratch/console"
	guest_ended
	[ "$status" -eq 0 ]
}
