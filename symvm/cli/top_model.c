// SPDX-License-Identifier: BSD-2-Clause
/* Rates from two samples of a VM's answers, for `symvm top` and `symvm report`. */
#include "cli/top_model.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define NS 1e9

/* The time between the samples in seconds; 0: there are no rates. */
static double seconds_between(json_t *before, json_t *after)
{
	json_t *old = json_object_get(before, "info"), *now = json_object_get(after, "info");
	json_int_t from = json_integer_value(json_object_get(before, "ns"));
	json_int_t to = json_integer_value(json_object_get(after, "ns"));

	/* Another process: the VM was started again, or has a double. */
	if (!before || !json_equal(json_object_get(old, "pid"), json_object_get(now, "pid")))
		return 0;
	return to > from ? (double)(to - from) / NS : 0;
}

/* (@after - @before) per second; null if either is not a count, or the counter went backwards. */
static json_t *rate_of(json_t *before, json_t *after, double seconds)
{
	json_int_t from = json_integer_value(before), to = json_integer_value(after);

	if (seconds <= 0 || !json_is_integer(before) || !json_is_integer(after) || from < 0 ||
	    to < from)
		return json_null();
	return json_real((double)(to - from) / seconds);
}

static void add_rate(json_t *view, const char *name, json_t *before, json_t *after, const char *key,
		     double seconds)
{
	json_object_set_new(
		view, name,
		rate_of(json_object_get(before, key), json_object_get(after, key), seconds));
}

static void add_copy(json_t *view, json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	json_object_set(view, key,
			value && !json_is_object(value) && !json_is_array(value) ? value
										 : json_null());
}

/* A reason that is new since @before began at 0: its counter is left out until it counts. */
static json_t *view_reasons(json_t *before, json_t *after, double seconds, json_t *sum)
{
	json_t *rates = json_object(), *value;
	const char *reason;

	json_object_foreach(after, reason, value) {
		json_t *old = json_object_get(before, reason), *zero = json_integer(0), *rate;

		if (json_object_size(rates) >= TOP_REASONS_MAX) {
			json_decref(zero);
			break;
		}
		rate = rate_of(old ? old : zero, value, seconds);
		json_decref(zero);
		if (json_is_real(rate)) {
			double total = json_number_value(json_object_get(sum, reason));

			json_object_set_new(sum, reason, json_real(total + json_real_value(rate)));
		}
		json_object_set_new(rates, reason, rate);
	}
	return rates;
}

/* The guest's claim about what the vCPU does, or null. */
static json_t *task_of_vcpu(json_t *info, json_t *id)
{
	json_t *tasks = json_object_get(json_object_get(info, "symbiotic"), "current_tasks"), *task;
	size_t i;

	json_array_foreach(tasks, i, task) {
		if (i >= TOP_VCPUS_MAX)
			break;
		if (id && json_equal(json_object_get(task, "vcpu"), id)) {
			json_t *view = json_object();

			add_copy(view, task, "pid");
			add_copy(view, task, "comm");
			add_copy(view, task, "nr_running");
			return view;
		}
	}
	return json_null();
}

static void view_vcpus(json_t *view, json_t *before, json_t *after, double seconds)
{
	json_t *old = json_object_get(before, "vcpus"), *now = json_object_get(after, "vcpus");
	json_t *vcpus = json_array(), *reasons = json_object(), *vcpu;
	double sum = 0;
	bool known = false;
	size_t i;

	json_array_foreach(now, i, vcpu) {
		json_t *was = json_array_get(old, i), *one = json_object(), *rate;

		if (i >= TOP_VCPUS_MAX) {
			json_decref(one);
			break;
		}
		add_copy(one, vcpu, "id");
		add_rate(one, "exits_per_second", was, vcpu, "exits_total", seconds);
		rate = json_object_get(one, "exits_per_second");
		known = known || json_is_real(rate);
		sum += json_number_value(rate);
		json_object_set_new(one, "exits",
				    view_reasons(json_object_get(was, "exits"),
						 json_object_get(vcpu, "exits"), seconds, reasons));
		json_object_set_new(one, "task", task_of_vcpu(after, json_object_get(vcpu, "id")));
		json_array_append_new(vcpus, one);
	}
	json_object_set_new(view, "exits_per_second", known ? json_real(sum) : json_null());
	json_object_set_new(view, "exits", reasons);
	json_object_set_new(view, "vcpus", vcpus);
}

static void view_devices(json_t *view, json_t *before, json_t *after, double seconds)
{
	static const char *const counters[][2] = {
		{"reads", "reads_per_second"},
		{"writes", "writes_per_second"},
		{"read_bytes", "read_bytes_per_second"},
		{"written_bytes", "written_bytes_per_second"},
		{"rx_bytes", "rx_bytes_per_second"},
		{"tx_bytes", "tx_bytes_per_second"},
	};
	json_t *devices = json_array(), *device;
	size_t i;

	json_array_foreach(json_object_get(after, "devices"), i, device) {
		json_t *was = json_array_get(json_object_get(before, "devices"), i);
		json_t *one = json_object();
		bool counts = false;

		add_copy(one, device, "name");
		add_copy(one, device, "type");
		for (size_t c = 0; c < sizeof(counters) / sizeof(counters[0]); c++)
			if (json_is_integer(json_object_get(device, counters[c][0]))) {
				counts = true;
				add_rate(one, counters[c][1], was, device, counters[c][0], seconds);
			}
		if (counts && json_array_size(devices) < TOP_DEVICES_MAX)
			json_array_append(devices, one);
		json_decref(one);
	}
	json_object_set_new(view, "devices", devices);
}

static void view_guest(json_t *view, json_t *before, json_t *after, double seconds)
{
	static const char *const amounts[] = {"mem_total", "mem_available", "mem_free", "anon",
					      "file",	   "swap_total",    "swap_free"};
	static const char *const counters[][2] = {
		{"swap_in", "swap_in_per_second"},
		{"swap_out", "swap_out_per_second"},
		{"major_faults", "major_faults_per_second"},
		{"refault_anon", "refault_anon_per_second"},
		{"refault_file", "refault_file_per_second"},
	};
	json_t *guest = json_object();

	for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
		add_copy(guest, after, amounts[i]);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		add_rate(guest, counters[i][1], before, after, counters[i][0], seconds);
	json_object_set_new(view, "guest", guest);
}

static void view_host(json_t *view, json_t *before, json_t *after, double seconds)
{
	json_t *old = json_object_get(json_object_get(before, "info"), "process");
	json_t *now = json_object_get(json_object_get(after, "info"), "process");
	json_t *host = json_object();
	json_t *rate = rate_of(json_object_get(old, "cpu_ns"), json_object_get(now, "cpu_ns"),
			       seconds);

	json_object_set_new(host, "cpu_percent",
			    json_is_real(rate) ? json_real(json_real_value(rate) * 100 / NS)
					       : json_null());
	json_decref(rate);
	json_object_set(host, "memory", json_object_get(json_object_get(after, "memory"), "host"));
	json_object_set_new(view, "host", host);
}

struct task_time {
	json_int_t pid, start;
	uint64_t ns; /* UINT64_MAX: not a time */
	json_int_t rss;
	double cpu; /* percent of one vCPU; negative: not known */
	json_t *task;
};

static int compare(json_int_t a, json_int_t b)
{
	return (a > b) - (a < b);
}

static int compare_identity(const void *one, const void *other)
{
	const struct task_time *a = one, *b = other;
	int result = compare(a->pid, b->pid);

	return result ? result : compare(a->start, b->start);
}

static int compare_cpu(const void *one, const void *other)
{
	const struct task_time *a = one, *b = other;
	int result = (a->cpu < b->cpu) - (a->cpu > b->cpu);

	if (!result)
		result = compare(b->rss, a->rss);
	return result ? result : compare_identity(one, other);
}

static int compare_rss(const void *one, const void *other)
{
	const struct task_time *a = one, *b = other;
	int result = compare(b->rss, a->rss);

	return result ? result : compare_identity(one, other);
}

static json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* The tasks of an answer, sorted by identity. The caller frees them; NULL without any. */
static struct task_time *read_tasks(json_t *sample, size_t *count)
{
	json_t *tasks = json_object_get(json_object_get(sample, "ps"), "tasks"), *task;
	size_t size = json_array_size(tasks), i;
	struct task_time *times;

	*count = 0;
	if (size > TOP_TASKS_SEEN)
		size = TOP_TASKS_SEEN;
	times = size ? calloc(size, sizeof(*times)) : NULL;
	if (!times)
		return NULL;
	json_array_foreach(tasks, i, task) {
		json_int_t user = number_of(task, "utime_ns"), system = number_of(task, "stime_ns");

		if (*count >= size)
			break;
		if (!json_is_object(task))
			continue;
		times[(*count)++] = (struct task_time){
			.pid = number_of(task, "pid"),
			.start = number_of(task, "start_ns"),
			.ns = user < 0 || system < 0 ? UINT64_MAX
						     : (uint64_t)user + (uint64_t)system,
			.rss = number_of(task, "rss"),
			.cpu = -1,
			.task = task,
		};
	}
	qsort(times, *count, sizeof(*times), compare_identity);
	return times;
}

/* A task that @old does not have has begun since, so all its time is new. */
static void set_shares(struct task_time *now, size_t count, const struct task_time *old,
		       size_t old_count, double seconds)
{
	for (size_t i = 0; i < count && seconds > 0 && old; i++) {
		const struct task_time *was = bsearch(&now[i], old, old_count, sizeof(*old),
						      compare_identity);
		uint64_t from = was ? was->ns : 0;

		if (now[i].ns != UINT64_MAX && from <= now[i].ns)
			now[i].cpu = (double)(now[i].ns - from) / NS / seconds * 100;
	}
}

static json_t *view_task(const struct task_time *time)
{
	static const char *const keys[] = {"pid",  "uid",    "state",	     "rss",
					   "comm", "cgroup", "kernel_thread"};
	json_t *view = json_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		add_copy(view, time->task, keys[i]);
	json_object_set_new(view, "cpu_percent",
			    time->cpu >= 0 ? json_real(time->cpu) : json_null());
	return view;
}

static void view_tasks(json_t *view, json_t *before, json_t *after, enum top_order order,
		       size_t limit)
{
	double seconds = seconds_between(before, after);
	size_t count, old_count;
	struct task_time *old = read_tasks(before, &old_count), *now = read_tasks(after, &count);
	json_t *tasks = json_array();

	set_shares(now, count, old, old_count, seconds);
	if (now)
		qsort(now, count, sizeof(*now), order == TOP_BY_CPU ? compare_cpu : compare_rss);
	for (size_t i = 0; i < count && i < limit && i < TOP_TASKS_MAX; i++)
		json_array_append_new(tasks, view_task(&now[i]));
	json_object_set_new(view, "tasks", tasks);
	json_object_set_new(view, "tasks_total", json_integer((json_int_t)count));
	free(old);
	free(now);
}

json_t *top_view(json_t *before, json_t *after, enum top_order order, size_t tasks)
{
	static const char *const heads[] = {"name", "state", "uptime_seconds", "cpus", "panic"};
	json_t *info = json_object_get(after, "info"), *memory = json_object_get(after, "memory");
	json_t *old = json_object_get(before, "info");
	double seconds = seconds_between(before, after);
	json_t *view = json_object();

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		add_copy(view, info, heads[i]);
	json_object_set_new(view, "seconds", seconds > 0 ? json_real(seconds) : json_null());
	add_copy(view, memory, "size");
	view_host(view, before, after, seconds);
	view_vcpus(view, old, info, seconds);
	view_devices(view, old, info, seconds);
	view_guest(view, json_object_get(before, "memory_use"),
		   json_object_get(after, "memory_use"), seconds);
	view_tasks(view, before, after, order, tasks);
	json_object_set(view, "errors", json_object_get(after, "errors"));
	return view;
}
