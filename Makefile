# SPDX-License-Identifier: BSD-2-Clause
# A thin front: meson builds, scripts do the rest. README.md says what each target shows.

.PHONY: all deps build check images run shell test soak fuzz bench bench-boot bench-io bench-symcall bench-swap clean
all: build

deps:
	@scripts/deps

build: deps
	@scripts/build

check: deps
	@scripts/check

images: deps
	@scripts/images

run: build
	@scripts/run

shell: build
	@scripts/shell

test: build
	@scripts/test

soak: build
	@scripts/soak

fuzz: deps
	@scripts/fuzz

bench: build
	@scripts/bench boot io-blk io-net symcall swap

bench-boot: build
	@scripts/bench boot

bench-io: build
	@scripts/bench io-blk io-net

bench-symcall: build
	@scripts/bench symcall

bench-swap: build
	@scripts/bench swap

clean:
	@rm -rf build build-*
