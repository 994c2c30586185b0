#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The Grafana dashboard and the program that compares it with a scrape. The scrape of a real VM is in
# tests/symbiotic/names.bats.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	work=$(mktemp -d)
	cat >"$work/scrape" <<'METRICS'
# HELP symvm_a_total A.
# TYPE symvm_a_total counter
symvm_a_total{vm="x",reason="a\"b,c=\"d"} 1
# HELP symvm_b B.
# TYPE symvm_b gauge
symvm_b{vm="x"} 1
METRICS
}

teardown() {
	rm -rf "$work"
}

# board QUERY: a dashboard with this query.
board() {
	jq -n --arg query "$1" '{panels: [{title: "P", targets: [{expr: $query}]}], templating: {list: []}}' >"$work/board"
	run tests/lib/dashboard.py "$work/board" "$work/scrape"
}

@test "a query that the scrape can answer" {
	board 'sum by (vm, reason) (rate(symvm_a_total{vm=~"$vm"}[$__rate_interval]))'
	[ "$status" -eq 0 ]
	board 'symvm_b{vm="x"}'
	[ "$status" -eq 0 ]
}

@test "a query that it cannot answer is named" {
	board 'symvm_c{vm="x"}'
	[ "$status" -eq 1 ]
	[ "$output" = "P: there is no family symvm_c" ]
	board 'symvm_b{reason="x"}'
	[ "$output" = "P: symvm_b has no label reason" ]
	board 'sum by (cpu) (symvm_b)'
	[ "$output" = "P: symvm_b has no label cpu" ]
	board 'rate(symvm_b[5m])'
	[ "$output" = "P: symvm_b is not a counter" ]
	board '1 + 1'
	[ "$output" = "P: it has no metric" ]
}
