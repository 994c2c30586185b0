# SPDX-License-Identifier: BSD-2-Clause
# Thin front: meson builds, scripts do. See README.md for what each target shows.

.PHONY: all deps build images run shell test soak fuzz bench bench-boot bench-io clean
all: build

deps:
	@scripts/deps

build: deps
	@scripts/build

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

bench: bench-boot bench-io

bench-boot: build
	@bench/boot

bench-io: build
	@bench/io

clean:
	@rm -rf build build-*
