# SPDX-License-Identifier: BSD-2-Clause
# Sourced by every script of the tree: the places of things, messages, locks.
#
# SYMVM_ROOT   the checkout
# SYMVM_CACHE  downloads and built images, kept between runs (default: .cache)
# SYMVM_SERIES the kernel series that the scripts know; of each the archive's newest kernel is taken

SYMVM_ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
export SYMVM_ROOT
export SYMVM_CACHE=${SYMVM_CACHE:-$SYMVM_ROOT/.cache}
SYMVM_SERIES=(6.1 6.12 6.18 7)
# Debian gives these to root only, but depmod, modinfo and mke2fs are useful to others, too.
case :$PATH: in
*:/usr/sbin:*) ;;
*) export PATH=$PATH:/usr/sbin:/sbin ;;
esac

# note TEXT...: print progress on stderr, so that stdout stays usable as data.
note() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# die TEXT...: print one line that names the problem, then end with status 1.
die() {
	printf '%s: error: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# is_series NAME: whether the scripts know this kernel series.
is_series() {
	[[ " ${SYMVM_SERIES[*]} " == *" $1 "* && $1 != *' '* ]]
}

# series_list: print the known series, as part of a message.
series_list() {
	local list
	list=$(printf ', %s' "${SYMVM_SERIES[@]}")
	echo "${list#, }"
}

# lab_again TRIES NAME OUTPUT ARGUMENT...: run lab/run, its stdout into the file OUTPUT (-: unchanged). It
# runs again from the start if the emulated host hung or went down (125) or reached the time limit (124).
# A line `# NAME: try N: ...` reports each such try. Status: that of the last try.
lab_again() {
	local tries=$1 name=$2 output=$3 try status
	shift 3
	for ((try = 1; ; try++)); do
		status=0
		if [ "$output" = - ]; then
			"$SYMVM_ROOT/lab/run" "$@" || status=$?
		else
			"$SYMVM_ROOT/lab/run" "$@" >"$output" || status=$?
		fi
		[ "$status" -eq 124 ] || [ "$status" -eq 125 ] || return "$status"
		echo "# $name: try $try: the emulated host ended with status $status"
		[ "$try" -lt "$tries" ] || return "$status"
	done
}

# cache_lock NAME: wait until this process is the only one that builds NAME.
# The process holds the lock until it ends; descriptor 9 is reserved for it.
cache_lock() {
	mkdir -p "$SYMVM_CACHE/locks"
	exec 9>"$SYMVM_CACHE/locks/$1"
	flock 9
}

# A script below scripts/, images/ or bench/ explains itself: --help prints the comment at its head.
if [ "${1:-}" = --help ]; then
	case $(realpath "$0") in
	"$SYMVM_ROOT"/scripts/* | "$SYMVM_ROOT"/images/* | "$SYMVM_ROOT"/bench/*)
		sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	esac
fi
