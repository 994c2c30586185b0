#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# /etc/symvm/swap KIND [COMMAND...]: give this guest swap, then run the command. KIND:
#   none        no swap
#   zram        compressed RAM, with the kernel's default algorithm
#   /dev/...    that disk
#   symbiotic   the VMM's slot store, by symswap.ko
# Words on the kernel command line: thp=never|madvise|always (never), mthp=64kB.
kind=$1
shift

fail() {
	echo "swap: $*"
	exit 1
}

# The only swap there is.
swap_up() {
	mkswap "$1" >/dev/null || fail "mkswap $1"
	swapon "$1" || fail "swapon $1"
	device=$1
}

thp=never mthp=
for word in $(cat /proc/cmdline); do
	case $word in
	thp=* | mthp=*) eval "$word" ;;
	esac
done
echo "$thp" >/sys/kernel/mm/transparent_hugepage/enabled
[ -z "$mthp" ] || echo always >"/sys/kernel/mm/transparent_hugepage/hugepages-$mthp/enabled" ||
	fail "no huge pages of $mthp"
mount -t debugfs none /sys/kernel/debug 2>/dev/null
mkdir -p /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup

device='' module=''
case $kind in
none) ;;
zram)
	modprobe zram || fail "no zram"
	echo 1G >/sys/block/zram0/disksize
	swap_up /dev/zram0
	;;
/dev/*) swap_up "$kind" ;;
symbiotic)
	module=symswap
	modprobe symswap || fail "no symswap.ko"
	[ -b /dev/symswap0 ] || fail "no /dev/symswap0"
	swap_up /dev/symswap0
	;;
*) fail "unknown kind '$kind'" ;;
esac
export SWAP_DEVICE=$device SWAP_MODULE=$module
# torture TEST...: with what this swap has to offer.
torture() {
	swap-torture ${SWAP_DEVICE:+--device $SWAP_DEVICE} ${SWAP_MODULE:+--module $SWAP_MODULE} "$@"
}
if [ "$1" = torture ]; then
	"$@"
else
	exec "$@"
fi
