// SPDX-License-Identifier: BSD-2-Clause
/* A view of a VM as a page for a browser, for `symvm report`. */
#include "cli/report_page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/format.h"
#include "util/text.h"

#define TEXT_MAX_B   256u /* of a text from the VM */
#define LABEL_COLS   34u  /* of a label in a chart */
#define ROWS_MAX     20u  /* of a chart */
#define CHART_WIDTH  760.0
#define LABEL_WIDTH  260.0
#define FIGURE_WIDTH 120.0
#define ROW	     20.0

struct bar {
	const char *label; /* raw */
	double value;
	char figure[48]; /* as text for people */
};

struct chart {
	const char *title;
	unsigned count;
	struct bar bars[ROWS_MAX];
};

/* Writes @text, at most @columns of it, as text of HTML and of XML. */
static void put_text(FILE *out, const char *text, size_t columns)
{
	static const char marks[] = "&<>\"'";
	static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
	char safe[TEXT_MAX_B * 4 + 16];

	text_escape(safe, sizeof(safe), text, strnlen(text, TEXT_MAX_B), columns, 0);
	for (const char *c = safe; *c; c++) {
		const char *mark = strchr(marks, *c);

		if (mark)
			fputs(names[mark - marks], out);
		else
			fputc(*c, out);
	}
}

static const char *text_of(json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

/* Adds a bar, unless the chart is full or @value is not a number. */
static struct bar *chart_add(struct chart *chart, const char *label, json_t *value)
{
	struct bar *bar = &chart->bars[chart->count];
	double number = json_number_value(value);

	if (chart->count == ROWS_MAX || !json_is_number(value))
		return NULL;
	/* A longer bar than 1e18 cannot be compared with others by eye. */
	*bar = (struct bar){.label = label,
			    .value = number > 0 ? (number < 1e18 ? number : 1e18) : 0};
	chart->count++;
	return bar;
}

static void add_bytes(struct chart *chart, const char *label, json_t *value)
{
	struct bar *bar = chart_add(chart, label, value);

	if (bar)
		format_size(bar->figure, sizeof(bar->figure), (uint64_t)bar->value);
}

static void add_number(struct chart *chart, const char *label, json_t *value, const char *unit)
{
	struct bar *bar = chart_add(chart, label, value);

	if (bar)
		snprintf(bar->figure, sizeof(bar->figure), "%.1f%s", bar->value, unit);
}

static void put_bar(FILE *out, const struct bar *bar, unsigned row, double most)
{
	double room = CHART_WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
	double width = most > 0 ? room * bar->value / most : 0, y = ROW * row;

	fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">", LABEL_WIDTH - 8, y + 15);
	put_text(out, bar->label, LABEL_COLS);
	fprintf(out,
		"</text><rect x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\"/>"
		"<text x=\"%.1f\" y=\"%.0f\">",
		LABEL_WIDTH, y + 3, width, ROW - 6, LABEL_WIDTH + width + 6, y + 15);
	put_text(out, bar->figure, TEXT_MAX_B);
	fputs("</text>\n", out);
}

static void put_chart(FILE *out, const struct chart *chart)
{
	double most = 0, height = ROW * chart->count;

	fputs("<h2>", out);
	put_text(out, chart->title, TEXT_MAX_B);
	fputs("</h2>\n", out);
	if (!chart->count) {
		fputs("<p>not known</p>\n", out);
		return;
	}
	for (unsigned i = 0; i < chart->count; i++)
		if (chart->bars[i].value > most)
			most = chart->bars[i].value;
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"0 0 %.0f %.0f\">\n",
		CHART_WIDTH, height, CHART_WIDTH, height);
	for (unsigned i = 0; i < chart->count; i++)
		put_bar(out, &chart->bars[i], i, most);
	fputs("</svg>\n", out);
}

static void put_memory(FILE *out, json_t *view)
{
	static const char *const rows[][2] = {
		{"mem_total", "total"},
		{"mem_available", "available"},
		{"mem_free", "free"},
		{"anon", "anonymous"},
		{"file", "page cache"},
		{"swap_total", "swap space"},
		{"swap_free", "swap space, free"},
	};
	struct chart chart = {.title = "Memory of the guest"};
	json_t *host = json_object_get(json_object_get(view, "host"), "memory");

	add_bytes(&chart, "memory of the VM", json_object_get(view, "size"));
	add_bytes(&chart, "host memory behind it", host);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		add_bytes(&chart, rows[i][1],
			  json_object_get(json_object_get(view, "guest"), rows[i][0]));
	put_chart(out, &chart);
}

static void put_exits(FILE *out, json_t *view)
{
	struct chart reasons = {.title = "Exits per second, by reason"};
	struct chart vcpus = {.title = "Exits per second, by vCPU"};
	char labels[ROWS_MAX][32];
	const char *reason;
	json_t *value;
	size_t i;

	json_object_foreach(json_object_get(view, "exits"), reason, value)
		add_number(&reasons, reason, value, "");
	json_array_foreach(json_object_get(view, "vcpus"), i, value) {
		if (i == ROWS_MAX)
			break;
		snprintf(labels[i], sizeof(labels[i]), "vCPU %zu", i);
		add_number(&vcpus, labels[i], json_object_get(value, "exits_per_second"), "");
	}
	put_chart(out, &reasons);
	put_chart(out, &vcpus);
}

static void put_tasks(FILE *out, json_t *view)
{
	struct chart cpu = {.title = "Processes, by CPU time"};
	struct chart rss = {.title = "The same processes, their memory"};
	json_t *task;
	size_t i;

	json_array_foreach(json_object_get(view, "tasks"), i, task) {
		add_number(&cpu, text_of(task, "comm", "?"), json_object_get(task, "cpu_percent"),
			   " %");
		add_bytes(&rss, text_of(task, "comm", "?"), json_object_get(task, "rss"));
	}
	put_chart(out, &cpu);
	put_chart(out, &rss);
}

static void put_devices(FILE *out, json_t *view)
{
	static const char *const kinds[][2] = {
		{"read_bytes_per_second", "Disks: bytes read per second"},
		{"written_bytes_per_second", "Disks: bytes written per second"},
		{"rx_bytes_per_second", "Networks: bytes received per second"},
		{"tx_bytes_per_second", "Networks: bytes sent per second"},
	};
	json_t *device;
	size_t i;

	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		struct chart chart = {.title = kinds[kind][1]};

		json_array_foreach(json_object_get(view, "devices"), i, device)
			add_bytes(&chart, text_of(device, "name", "?"),
				  json_object_get(device, kinds[kind][0]));
		if (chart.count)
			put_chart(out, &chart);
	}
}

/* A paragraph: @label, and @text from the VM. */
static void put_words(FILE *out, const char *label, const char *text)
{
	fprintf(out, "<p>%s: ", label);
	put_text(out, text, TEXT_MAX_B * 4);
	fputs("</p>\n", out);
}

static void put_head(FILE *out, json_t *view)
{
	json_t *cpu = json_object_get(json_object_get(view, "host"), "cpu_percent"), *words;
	const char *command;
	char text[64];

	fputs("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head>"
	      "<meta charset=\"utf-8\"/>"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'\"/><title>",
	      out);
	put_text(out, text_of(view, "name", "?"), TEXT_MAX_B);
	fputs("</title><style>body{font-family:sans-serif;margin:2em;max-width:60em}"
	      "h2{font-size:1.1em;margin:1.5em 0 .4em}svg{font-family:monospace;font-size:12px}"
	      "rect{fill:#4a7ba6}</style></head><body>\n<h1>",
	      out);
	put_text(out, text_of(view, "name", "?"), TEXT_MAX_B);
	fputs("</h1>\n", out);
	put_words(out, "state", text_of(view, "state", "?"));
	format_duration(text, sizeof(text),
			json_number_value(json_object_get(view, "uptime_seconds")));
	put_words(out, "up", text);
	snprintf(text, sizeof(text), json_is_number(cpu) ? "%.1f %% of one CPU" : "not known",
		 json_number_value(cpu));
	put_words(out, "CPU time on the host", text);
	if (json_is_string(json_object_get(view, "panic")))
		put_words(out, "panic", text_of(view, "panic", ""));
	json_object_foreach(json_object_get(view, "errors"), command, words)
		put_words(out, "not answered",
			  json_is_string(words) ? json_string_value(words) : "?");
}

int report_page_write(json_t *view, const char *path, struct error *err)
{
	FILE *out = fopen(path, "we");
	int status;

	if (!out)
		return error_set_errno(err, -errno, "%s", path);
	put_head(out, view);
	put_memory(out, view);
	put_exits(out, view);
	put_devices(out, view);
	put_tasks(out, view);
	fputs("</body></html>\n", out);
	status = ferror(out) ? -EIO : 0;
	if (fclose(out) != 0 && status == 0)
		status = -errno;
	return status < 0 ? error_set_errno(err, status, "%s", path) : 0;
}
