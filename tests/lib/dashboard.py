#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Check the queries of a Grafana dashboard against a scrape: dashboard.py DASHBOARD SCRAPE

Each metric of a query must be a family of the scrape, and each label of its selector or of "sum by" a label
of that family. Only a rate of a counter, or of a value that a device counts, makes sense.
"""
import json
import re
import sys

METRIC = re.compile(r"\b(symvm_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')


def families_of(scrape):
    """Each family's type and the names of its samples' labels."""
    kinds, labels = {}, {}
    for line in scrape.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            kinds[name], labels[name] = kind, set()
        elif not line.startswith("#"):
            name, rest = line.split("{", 1)
            labels[name] |= set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', rest))
    return kinds, labels


def wrong(query, kinds, labels):
    """Yield what is wrong with a query."""
    metrics = METRIC.findall(query)
    if not metrics:
        yield "it has no metric"
    for name, selector in metrics:
        if name not in kinds:
            yield f"there is no family {name}"
            continue
        used = set(LABEL.findall(selector))
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            used |= {label.strip() for label in group.split(",")}
        # A family without a sample says nothing about its labels.
        for label in sorted(used - labels[name]) if labels[name] else ():
            yield f"{name} has no label {label}"
        counts = kinds[name] == "counter" or name == "symvm_device_value"
        if re.search(r"\b(rate|increase)\(", query) and not counts:
            yield f"{name} is not a counter"


def queries_of(dashboard):
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


def main(dashboard, scrape):
    with open(dashboard, encoding="utf-8") as file:
        queries = list(queries_of(json.load(file)))
    with open(scrape, encoding="utf-8") as file:
        kinds, labels = families_of(file.read())
    found = [f"{title}: {words}" for title, query in queries for words in wrong(query, kinds, labels)]
    print("\n".join(found) or f"{len(queries)} queries")
    return 1 if found or not queries else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
