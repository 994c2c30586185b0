#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=soak
# stress-ng on more memory than the guest has: its methods verify what they wrote.
# SYMVM_STRESS_SECONDS is the time for each stressor.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

# The madvise stressor poisons pages of RAM if it may (MADV_HWPOISON). On 6.12 the resulting signal kills
# it, with any kind of swap. Without CAP_SYS_ADMIN it does not poison pages.
# In the guest /dev/vda is the programs' disk, and /dev/vdb is for the swap files of the swap stressor.
guest_script='
modprobe ext4
mkdir -p /mnt && mount -t ext4 -o ro /dev/vda /mnt || exit 1
for place in dev proc sys; do mount --bind /$place /mnt/$place; done
mount -t tmpfs tmp /mnt/tmp && mkdir /mnt/tmp/disk
mount -t ext4 /dev/vdb /mnt/tmp/disk || exit 1
stress() {
	before=$(sed -n "s/^pswpout //p" /proc/vmstat)
	chroot /mnt /usr/bin/setpriv --bounding-set $caps /usr/bin/stress-ng --temp-path /tmp/disk --timeout $seconds --verify "$@"
	echo "stress $1: $?, $(($(sed -n "s/^pswpout //p" /proc/vmstat) - before)) pages swapped out"
}
caps=+all
stress --vm 2 --vm-bytes 208M --vm-method all
caps=-sys_admin
stress --madvise 2 --vm 1 --vm-bytes 128M
caps=+all
stress --mremap 2 --mremap-bytes 64M --vm 1 --vm-bytes 96M
stress --userfaultfd 2 --userfaultfd-bytes 64M --vm 1 --vm-bytes 96M
stress --swap 1 --vm 1 --vm-bytes 160M
cd /sys/block/symswap0/symbiotic
echo "verdicts: $(grep . verdicts_* maps maps_lost | tr "\n" " ")"
dmesg | grep -E "WARNING: CPU|BUG: |Oops|Bad page|swap_|stall|lockup|refcount" && echo COMPLAINTS
echo stress ended'

# stress VERSION POLICY: run all stressors in a guest.
stress() {
	local version=$1 policy=$2 seconds=${SYMVM_STRESS_SECONDS:-60} disk
	disk=$(images/build-programs) # the stage keeps it in the cache
	mke2fs -q -t ext4 -O ^has_journal "$scratch/disk" 64M
	run lab/limit $((seconds * 12 + 300)) "$symvm" run \
		--kernel "$(guest_kernel "$version" pvh)" --cpus 1 \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-$version.cpio" --memory 192M,max=320M \
		--disk "path=$disk,readonly" --disk "path=$scratch/disk" \
		--swap "size=1G,memory=256M,compress=lz4,policy=$policy" --append "$(guest_words \
			"cat >/stress <<'END'
seconds=$seconds
$guest_script
END
			/etc/symvm/swap symbiotic sh /stress" \
			memhp_default_state=online_movable symvm.net=off)" </dev/null
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *'stress ended'* && $output != *COMPLAINTS* ]]
	[ "$(grep -cE '^stress --[a-z]*: 0, ' <<<"$output")" -eq 5 ]
	[ "$(sed -n 's/^stress --vm: 0, \([0-9]*\) .*/\1/p' <<<"$output")" -gt 1000 ]
	! grep -E 'stress-ng: (fail|error)' <<<"$output"
}

@test "stress-ng: 6.1, copy" {
	stress 6.1 copy
}

@test "stress-ng: 6.1, grant" {
	stress 6.1 grant
}

@test "stress-ng: 6.1, map" {
	stress 6.1 map
}

@test "stress-ng: 6.12, copy" {
	stress 6.12 copy
}

@test "stress-ng: 6.12, grant" {
	stress 6.12 grant
}

@test "stress-ng: 6.12, map" {
	stress 6.12 map
}

@test "stress-ng: 6.1, auto" {
	stress 6.1 auto
}

@test "stress-ng: 6.12, auto" {
	stress 6.12 auto
}
