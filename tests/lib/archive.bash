# SPDX-License-Identifier: BSD-2-Clause
# A Debian archive in a directory, for tests of programs that read one: real packages, real apt, no
# network. Sourced by a bats file. All files are below $BATS_TEST_TMPDIR; the machine's own are not used.

# archive_open RELEASE: make a machine of that release without packages, and its archive.
archive_open() {
	export ARCHIVE=$BATS_TEST_TMPDIR/archive SYMVM_APT_ETC=$BATS_TEST_TMPDIR/etc
	export SYMVM_CACHE=$BATS_TEST_TMPDIR/cache SYMVM_DPKG_STATUS=$BATS_TEST_TMPDIR/status
	export SYMVM_OS_RELEASE=$BATS_TEST_TMPDIR/os-release
	mkdir -p "$ARCHIVE/pool" "$SYMVM_APT_ETC" "$SYMVM_CACHE"
	: >"$SYMVM_DPKG_STATUS"
	printf 'ID=debian\nVERSION_CODENAME=%s\n' "$1" >"$SYMVM_OS_RELEASE"
	printf 'deb [trusted=yes] file:%s %s main\n' "$ARCHIVE" "$1" >"$SYMVM_APT_ETC/sources.list"
	archive_suite "$1"
}

# archive_suite SUITE: put the packages that follow into that suite.
archive_suite() {
	archive_lists=$ARCHIVE/dists/$1/main/binary-amd64
	archive_name=$1
	mkdir -p "$archive_lists"
}

# archive_package NAME VERSION DEPENDS FILE...: make a package of executable files that print their names.
# A FILE in the form PATH=SOURCE has the content of this machine's file SOURCE. SOURCE_PACKAGE: its Source.
archive_package() {
	local name=$1 version=$2 depends=$3 tree=$BATS_TEST_TMPDIR/package path directory
	shift 3
	mkdir -p "$tree/DEBIAN"
	printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: a test\nDescription: a test\n' \
		"$name" "$version" >"$tree/DEBIAN/control"
	[ -z "$depends" ] || echo "Depends: $depends" >>"$tree/DEBIAN/control"
	[ -z "${SOURCE_PACKAGE:-}" ] || echo "Source: $SOURCE_PACKAGE" >>"$tree/DEBIAN/control"
	for path; do
		directory=$tree/${path%%=*}
		mkdir -p "${directory%/*}"
		if [[ $path == *=* ]]; then
			cp -a "${path#*=}" "$tree/${path%%=*}"
		else
			printf '#!/bin/sh\necho %s %s\n' "$name" "$version" >"$tree/$path"
			chmod 755 "$tree/$path"
		fi
	done
	archive_stanza "pool/${name}_${version}_amd64.deb" "$tree"
}

# archive_stanza FILE TREE: build the package FILE of the archive, and add it to the list of the suite.
archive_stanza() {
	local sum
	dpkg-deb --root-owner-group -Znone -b "$2" "$ARCHIVE/$1" >/dev/null
	read -r sum _ < <(sha256sum "$ARCHIVE/$1")
	printf '%s\nFilename: %s\nSize: %s\nSHA256: %s\n\n' "$(<"$2/DEBIAN/control")" "$1" \
		"$(stat -c %s "$ARCHIVE/$1")" "$sum" >>"$archive_lists/Packages"
	rm -rf "$2"
}

# archive_publish: write the file that apt reads first. The archive can be changed and published again.
archive_publish() {
	local lists=main/binary-amd64/Packages
	: >>"$archive_lists/Packages"
	(
		cd "$ARCHIVE/dists/$archive_name"
		printf 'Suite: %s\nCodename: %s\nArchitectures: amd64\nComponents: main\nDate: %s\n' \
			"$archive_name" "$archive_name" "$(LC_ALL=C date -Ru)"
		[[ $archive_name != *-backports ]] || printf 'NotAutomatic: yes\nButAutomaticUpgrades: yes\n'
		printf 'SHA256:\n %s %s %s\n' "$(sha256sum $lists | cut -d' ' -f1)" \
			"$(stat -c %s $lists)" $lists
	) >"$ARCHIVE/dists/$archive_name/Release"
}

# archive_machine_has NAME VERSION: record that the package is installed, as dpkg would.
archive_machine_has() {
	printf 'Package: %s\nStatus: install ok installed\nVersion: %s\nArchitecture: amd64\nMaintainer: a test\nDescription: a test\n\n' \
		"$1" "$2" >>"$SYMVM_DPKG_STATUS"
}
