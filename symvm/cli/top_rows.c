// SPDX-License-Identifier: BSD-2-Clause
/* A view of a VM as rows of text, for `symvm top`. */
#include "cli/top_rows.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/format.h"

#define REASONS_SHOWN 6u
#define VCPUS_SHOWN   8u
#define DEVICES_SHOWN 8u

#define LABEL "%-8s"

struct figure {
	char text[40];
};

static const char *text_of(json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

/* "12.3", or "-" if it is not known. */
static struct figure show_number(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	struct figure figure = {"-"};

	if (json_is_number(value))
		snprintf(figure.text, sizeof(figure.text), "%.1f", json_number_value(value));
	return figure;
}

/* "1.5 GiB", or "-". */
static struct figure show_bytes(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	double bytes = json_number_value(value);
	struct figure figure = {"-"};

	if (json_is_number(value) && bytes >= 0 && bytes < 1e19)
		format_size(figure.text, sizeof(figure.text), (uint64_t)bytes);
	return figure;
}

static void add(json_t *rows, json_t *row)
{
	if (row)
		json_array_append_new(rows, row);
}

static void add_head(json_t *rows, json_t *view)
{
	json_t *host = json_object_get(view, "host");
	struct figure up = {"-"};

	format_duration(up.text, sizeof(up.text),
			json_number_value(json_object_get(view, "uptime_seconds")));
	add(rows,
	    json_sprintf(LABEL "CPU %s %%, memory %s", "host",
			 show_number(host, "cpu_percent").text, show_bytes(host, "memory").text));
	add(rows, json_sprintf(LABEL "up %s, %.0f vCPUs, %s, %s", "VM", up.text,
			       json_number_value(json_object_get(view, "cpus")),
			       text_of(view, "state", "?"), text_of(view, "name", "?")));
	if (json_is_string(json_object_get(view, "panic")))
		add(rows, json_sprintf(LABEL "%s", "panic", text_of(view, "panic", "")));
}

static void add_memory(json_t *rows, json_t *view)
{
	json_t *guest = json_object_get(view, "guest");
	const char *error = text_of(json_object_get(view, "errors"), "memory_use", NULL);

	if (error) {
		add(rows,
		    json_sprintf(LABEL "%s; %s", "memory", show_bytes(view, "size").text, error));
		return;
	}
	add(rows, json_sprintf(LABEL "%s, available %s, free %s, anonymous %s, page cache %s",
			       "memory", show_bytes(guest, "mem_total").text,
			       show_bytes(guest, "mem_available").text,
			       show_bytes(guest, "mem_free").text, show_bytes(guest, "anon").text,
			       show_bytes(guest, "file").text));
	add(rows,
	    json_sprintf(LABEL "%s, free %s, in %s/s, out %s/s, major faults %s/s", "swap",
			 show_bytes(guest, "swap_total").text, show_bytes(guest, "swap_free").text,
			 show_number(guest, "swap_in_per_second").text,
			 show_number(guest, "swap_out_per_second").text,
			 show_number(guest, "major_faults_per_second").text));
}

/* The highest rate of @rates that is below @limit, or equals it and has a later key. */
static const char *next_reason(json_t *rates, const char *last)
{
	double limit = last ? json_number_value(json_object_get(rates, last)) : 0, best = 0;
	const char *reason, *found = NULL;
	json_t *value;

	json_object_foreach(rates, reason, value) {
		double rate = json_number_value(value);

		if (rate <= 0)
			continue;
		if (last && (rate > limit || (rate == limit && strcmp(reason, last) <= 0)))
			continue;
		if (!found || rate > best || (rate == best && strcmp(reason, found) < 0)) {
			found = reason;
			best = rate;
		}
	}
	return found;
}

/* "io 12.3, mmio 4.5" of the highest rates; the names are the VM's. */
static json_t *show_reasons(json_t *rates)
{
	json_t *text = json_string("");
	const char *reason = NULL;

	for (unsigned i = 0; i < REASONS_SHOWN; i++) {
		json_t *longer;

		reason = next_reason(rates, reason);
		if (!reason)
			break;
		longer = json_sprintf("%s%s%s %.1f", json_string_value(text), i ? ", " : "", reason,
				      json_number_value(json_object_get(rates, reason)));
		if (!longer)
			break;
		json_decref(text);
		text = longer;
	}
	return text;
}

static void add_vcpu(json_t *rows, json_t *vcpu)
{
	json_t *reasons = show_reasons(json_object_get(vcpu, "exits"));
	json_t *task = json_object_get(vcpu, "task");
	const char *text = json_string_value(reasons);
	char label[24], now[64] = "";

	snprintf(label, sizeof(label), "vCPU %d",
		 (int)json_integer_value(json_object_get(vcpu, "id")));
	if (json_is_object(task))
		snprintf(now, sizeof(now), ", runs pid %lld",
			 (long long)json_integer_value(json_object_get(task, "pid")));
	add(rows, json_sprintf(LABEL "exits %s/s%s%s%s%s%s", label,
			       show_number(vcpu, "exits_per_second").text, now, *now ? " " : "",
			       *now ? text_of(task, "comm", "?") : "", *text ? ": " : "", text));
	json_decref(reasons);
}

static void add_vcpus(json_t *rows, json_t *view)
{
	json_t *reasons = show_reasons(json_object_get(view, "exits"));
	json_t *vcpus = json_object_get(view, "vcpus"), *vcpu;
	const char *text = json_string_value(reasons);
	size_t i;

	add(rows,
	    json_sprintf(LABEL "%s/s%s%s", "exits", show_number(view, "exits_per_second").text,
			 *text ? ": " : "", text));
	json_decref(reasons);
	json_array_foreach(vcpus, i, vcpu) {
		if (i == VCPUS_SHOWN) {
			add(rows, json_sprintf(LABEL "%zu further vCPUs: see --json", "",
					       json_array_size(vcpus) - VCPUS_SHOWN));
			break;
		}
		add_vcpu(rows, vcpu);
	}
}

static void add_devices(json_t *rows, json_t *view)
{
	json_t *devices = json_object_get(view, "devices"), *device;
	size_t i;

	json_array_foreach(devices, i, device) {
		if (i == DEVICES_SHOWN)
			break;
		if (json_object_get(device, "read_bytes_per_second"))
			add(rows,
			    json_sprintf(LABEL "read %s/s (%s), written %s/s (%s), %s", "disk",
					 show_bytes(device, "read_bytes_per_second").text,
					 show_number(device, "reads_per_second").text,
					 show_bytes(device, "written_bytes_per_second").text,
					 show_number(device, "writes_per_second").text,
					 text_of(device, "name", "?")));
		else
			add(rows, json_sprintf(LABEL "received %s/s, sent %s/s, %s", "net",
					       show_bytes(device, "rx_bytes_per_second").text,
					       show_bytes(device, "tx_bytes_per_second").text,
					       text_of(device, "name", "?")));
	}
}

static void add_tasks(json_t *rows, json_t *view)
{
	const char *error = text_of(json_object_get(view, "errors"), "ps", NULL);
	json_t *tasks = json_object_get(view, "tasks"), *task;
	size_t i;

	if (error) {
		add(rows, json_sprintf(LABEL "%s", "tasks", error));
		return;
	}
	add(rows, json_sprintf("%10s %7s %10s %s", "PID", "CPU/%", "RSS", "S COMMAND"));
	json_array_foreach(tasks, i, task) {
		bool kernel = json_is_true(json_object_get(task, "kernel_thread"));

		add(rows,
		    json_sprintf("%10lld %7s %10s %s %s%s%s",
				 (long long)json_integer_value(json_object_get(task, "pid")),
				 show_number(task, "cpu_percent").text,
				 show_bytes(task, "rss").text, text_of(task, "state", "?"),
				 kernel ? "[" : "", text_of(task, "comm", "?"), kernel ? "]" : ""));
	}
}

json_t *top_rows(json_t *view)
{
	json_t *rows = json_array();

	add_head(rows, view);
	add_memory(rows, view);
	add_vcpus(rows, view);
	add_devices(rows, view);
	add_tasks(rows, view);
	return rows;
}
