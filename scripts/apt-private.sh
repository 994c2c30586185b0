# SPDX-License-Identifier: BSD-2-Clause
# Sourced after common.sh: apt with a configuration of its own below $SYMVM_CACHE/apt. It installs
# nothing and does not touch the machine's own lists, sources and caches. Needs no root.
#
# The machine's settings for transport (proxies, certificates, keys) hold here, too. The rest of its
# configuration does not: apt reads APT_CONFIG first, so files of the machine would win.

# apt_private_open OPTION...: export APT_CONFIG for the sources that `scripts/apt-sources OPTION...`
# prints. Fetches lists if it has none of the last hour (APT_PRIVATE_MINUTES); uses older ones if it
# cannot reach the archive. Status 1, with a line, if there are no lists at all.
apt_private_open() {
	local sources key directory
	sources=$("$SYMVM_ROOT/scripts/apt-sources" "$@") || return 1
	sources=${sources// file:/ copy:} # with file: apt leaves packages in their place
	key=$(sha256sum <<<"$sources" | cut -c1-16)
	directory=$SYMVM_CACHE/apt/$key
	mkdir -p "$SYMVM_CACHE"/apt/state/lists/partial "$directory"/{archives/partial,parts}
	apt_private_settings "$directory" >"$directory/conf.$$"
	mv "$directory/conf.$$" "$directory/conf"
	printf '%s\n' "$sources" >"$directory/sources.list.$$"
	mv "$directory/sources.list.$$" "$directory/sources.list"
	export APT_CONFIG=$directory/conf
	if [ -z "$(find "$directory" -name updated -mmin "-${APT_PRIVATE_MINUTES:-60}")" ]; then
		apt_private_update || return 1
	fi
}

# apt_private_settings DIRECTORY: print the configuration.
apt_private_settings() {
	apt-config dump | grep -E '^(Acquire|Dir::Etc::(netrc|trusted))' |
		grep -v '^Acquire::IndexTargets' || true
	cat <<-CONF
		Dir::State "$SYMVM_CACHE/apt/state";
		Dir::State::status "${SYMVM_DPKG_STATUS:-/var/lib/dpkg/status}";
		Dir::Cache "$1";
		Dir::Etc::sourcelist "$1/sources.list";
		Dir::Etc::sourceparts "$1/parts";
		Dir::Etc::parts "$1/parts";
		Dir::Etc::main "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "$1/parts";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "";
		APT::Get::List-Cleanup "false";
		APT::Install-Recommends "false";
		Debug::NoLocking "true";
		Acquire::Languages "none";
		Acquire::Retries "3";
	CONF
}

# apt_private_update: fetch the lists now.
apt_private_update() {
	local directory=${APT_CONFIG%/conf} errors
	note "reading Debian's package lists"
	if errors=$(exec 8>"$SYMVM_CACHE/apt/lock" && flock 8 && apt-get -qq update 2>&1 >&2 8>&-); then
		: >"$directory/updated"
	elif [ -e "$directory/updated" ]; then
		note "the package lists are old: $(apt_reason "$errors")"
	else
		note "error: the package lists cannot be had: $(apt_reason "$errors")"
		return 1
	fi
}

# apt_reason TEXT: print the first dependency that cannot be met, or the first error, in apt's output,
# as part of a line.
apt_reason() {
	local line
	line=$(grep -m 1 -E ' Depends: .* but ' <<<"$1" || grep -m 1 '^E: ' <<<"$1") || true
	line=$(sed 's/^E: //; s/^.* Depends: /needs /; s/[[:cntrl:]]//g' <<<"$line")
	echo "${line:-apt gave no reason}"
}

# packages_use DIRECTORY: let this shell's children use the packages in the directory that
# scripts/packages-unpack printed. If it has a C library, only its own programs use that one: a script
# in the place of each (scripts/elf-wrap) reads SYMVM_LOADER.
packages_use() {
	local root=$1 multiarch=x86_64-linux-gnu
	local libraries=$root/usr/lib/$multiarch:$root/lib/$multiarch loader
	loader=$(compgen -G "$root/lib64/ld-linux-x86-64.so.2" ||
		compgen -G "$root/usr/lib64/ld-linux-x86-64.so.2") || true
	if [ -n "$loader" ]; then
		export SYMVM_LOADER=$loader SYMVM_LIBRARY_PATH=$libraries
		export PATH="$root/usr/bin:$root/bin:$PATH"
		return
	fi
	export PATH="$root/usr/sbin:$root/usr/bin:$root/sbin:$root/bin:$PATH"
	export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

# kernel_use KERNEL: let this shell's children use what building modules for that kernel of the cache takes.
# KERNEL is its directory.
kernel_use() {
	local depends from tools
	[ -s "$1/depends" ] || return 0
	mapfile -t depends <"$1/depends"
	from=$(cat "$1/from" 2>/dev/null) || true
	tools=$("$SYMVM_ROOT/scripts/packages-unpack" ${from:+--release "$from"} "${depends[@]}") || return 1
	packages_use "$tools"
}
