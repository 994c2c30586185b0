#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# virtio-blk and virtio-rng under a stock Debian kernel: the cases that boot.bats does not cover.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

@test "serial, size, read-only, discard, zeroes, flush, several queues, entropy" {
	head -c 4194304 /dev/urandom >"$scratch/disk"
	head -c 1048576 /dev/urandom >"$scratch/fixed"
	run -0 guest_run 6.1 pvh 2 '
		cd /sys/block
		echo serial $(cat vda/serial) sectors $(cat vda/size) queues $(ls vda/mq | wc -l)
		echo readonly $(cat vda/ro) $(cat vdb/ro)
		echo cache $(cat vda/queue/write_cache)
		blkdiscard -o 1048576 -l 1048576 /dev/vda && echo discarded
		blkdiscard -z -o 3145728 -l 65536 /dev/vda || dd if=/dev/zero of=/dev/vda bs=64k seek=48 count=1 conv=notrunc
		dd if=/dev/zero of=/dev/vdb bs=512 count=1 || echo refused
		printf mark | dd of=/dev/vda bs=512 conv=notrunc,fsync; sync
		echo entropy $(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c)
		grep -c "virtio.-req" /proc/interrupts' \
		--disk "path=$scratch/disk,serial=SERIAL-1,queues=2" \
		--disk "path=$scratch/fixed,readonly" --rng
	echo "$output"
	[[ $output == *'serial SERIAL-1 sectors 8192 queues 2'* ]]
	[[ $output == *'readonly 0 1'* && $output == *'cache write back'* ]]
	[[ $output == *discarded* && $output == *refused* && $output == *'entropy 64'* ]]
	[ "$(stat -c %s "$scratch/disk")" -eq 4194304 ]
	[ "$(stat -c %b "$scratch/disk")" -le 6144 ]
	[ "$(head -c 4 "$scratch/disk")" = mark ]
	cmp -n 1048576 -i 1048576:0 "$scratch/disk" /dev/zero
	cmp -n 65536 -i 3145728:0 "$scratch/disk" /dev/zero
}

@test "two virtual machines do not share a disk that one of them writes" {
	truncate -s 1M "$scratch/disk"
	"$symvm" run --name first --kernel "$(guest_kernel 6.1 pvh)" --memory 128M --disk "$scratch/disk" \
		--initrd "$SYMVM_CACHE/images/initramfs-6.1.cpio" --console "file:$scratch/console" \
		--append "$(guest_words 'sleep 1000')" </dev/null >"$scratch/log" 2>&1 3>&- &
	guest_pid=$!
	wait_until 100 grep -qs 'symvm-init: started' "$scratch/console"
	run -1 guest_run 6.1 pvh 1 true --name second --disk "$scratch/disk,readonly"
	[[ ${#lines[@]} -eq 1 && $output == *"$scratch/disk"*'in use'* ]]
	# The lock ends with its owner, however the owner ends.
	kill -KILL "$guest_pid"
	wait "$guest_pid" || true
	guest_pid=
	run -0 guest_run 6.1 pvh 1 'echo mine' --name third --disk "$scratch/disk"
	[[ $output == *mine* ]]
}

@test "a full host disk is an error in the guest, or a pause until there is room" {
	mkdir "$scratch/small"
	mount -t tmpfs -o size=24M small "$scratch/small"
	truncate -s 64M "$scratch/small/disk"
	head -c 16777216 /dev/zero >"$scratch/small/filler"
	# Without io_uring: it must work in the jail, too.
	run -0 guest_run 6.1 pvh 1 'dd if=/dev/zero of=/dev/vda bs=1M count=12 conv=fsync
		echo ended $?; dd if=/dev/vda of=/dev/null bs=1M count=2 && echo alive' \
		--disk "path=$scratch/small/disk,io-uring=off"
	echo "$output"
	[[ $output == *'ended 1'* && $output == *alive* ]]
	[ "$(grep -c "disk0 ($scratch/small/disk): write.*No space left on device" <<<"$output")" -eq 1 ]
	"$symvm" run --name full --kernel "$(guest_kernel 6.1 pvh)" --memory 128M --disk "$scratch/small/disk" \
		--initrd "$SYMVM_CACHE/images/initramfs-6.1.cpio" --console "file:$scratch/console" \
		--append "$(guest_words 'dd if=/dev/zero of=/dev/vda bs=1M count=12 conv=fsync && echo all written')" \
		--on-disk-full pause </dev/null >"$scratch/log" 2>&1 3>&- &
	guest_pid=$!
	wait_until 200 grep -q 'the VM is paused' "$scratch/log"
	[[ $("$symvm" list) == *paused* ]]
	rm "$scratch/small/filler"
	"$symvm" resume full
	wait_until 200 said 'all written'
	wait "$guest_pid"
	guest_pid=
}

# limited_guest KIB COMMAND [OPTION]...: run a guest under a limit of file sizes.
limited_guest() {
	(
		ulimit -f "$1"
		shift
		guest_run 6.1 pvh 1 "$@"
	)
}

@test "limits of file sizes, other formats and hosts without holes are said, and end no guest" {
	# Memory beyond the limit: one line.
	run -1 bash -c "ulimit -f 2048; exec '$symvm' run --kernel '$(guest_kernel 6.1 pvh)' --memory 128M </dev/null"
	[[ ${#lines[@]} -eq 1 && $output == *'File too large'* ]]
	printf 'QFI\xfb\0\0\0\3' >"$scratch/image"
	truncate -s 1M "$scratch/image"
	run -1 guest_run 6.1 pvh 1 true --disk "$scratch/image"
	[[ ${#lines[@]} -eq 1 && $output == *"$scratch/image"*"qemu-img convert -f qcow2"* ]]
	mkdir "$scratch/small"
	mount -t ramfs small "$scratch/small"
	truncate -s 64M "$scratch/small/disk"
	truncate -s 300M "$scratch/large"
	run -0 limited_guest 262144 'cat /sys/block/vda/queue/discard_max_bytes
		cat /sys/block/vda/queue/logical_block_size /sys/block/vda/queue/physical_block_size
		dd if=/dev/zero of=/dev/vdb bs=1M seek=280 count=1 conv=fsync; echo ended $?' \
		--disk "$scratch/small/disk" --disk "$scratch/large"
	echo "$output"
	[[ $output == *$'0\r\n512\r\n4096'* || $output == *$'0\n512\n4096'* ]]
	[[ $output == *'File too large'* && $output == *'ended 1'* ]]
	# A file that is small on the host's disk stayed small.
	[ "$(du -k "$scratch/small/disk" | cut -f1)" -le 1024 ]
}
