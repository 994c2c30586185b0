#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in the Debian guest of tests/intel/cases: a task that writes to the console, then one that swaps
# to the VMM's memory (24 MiB of work in 12), then one that keeps values in AVX registers.
echo '<4>a word for the log' >/dev/kmsg
sed 's/^/features: /' /sys/kernel/symbiotic/features
sh -c 'printf teller >/proc/$$/comm; while :; do echo still here; sleep 1; done' &
# shellcheck disable=SC2016 # the inner shell expands them
/etc/symvm/swap symbiotic sh -c '
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir /sys/fs/cgroup/small
	echo 12M >/sys/fs/cgroup/small/memory.max
	echo $$ >/sys/fs/cgroup/small/cgroup.procs
	swap-workload --size 24 --warm-up 0 --passes 1
	grep pswp /proc/vmstat'
dmesg | grep -E 'WARNING: CPU|BUG: |Oops|Bad page' && echo WRONG kernel messages
echo swap ends
while avx-hold 2; do
	sleep 1
done
