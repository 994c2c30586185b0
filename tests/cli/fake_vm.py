#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A program that plays a VM at its control socket: fake_vm.py PLACE [OPTION]...

PLACE is the path of the socket without ".sock". Counters grow by each question, and the names of
processes are hostile. --no-guest: the guest does not answer. --requests N: ends after N of them.
--panic-at N: from question N on the guest has panicked. --markup: a process has a name of HTML.
--empty: each answer is an empty object.
"""
import argparse
import fcntl
import json
import os
import socket
import struct

F_OFD_SETLK = 37
MIB = 1 << 20


def hold_name(place):
    lock = os.open(place + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.fcntl(lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))


def answers(step):
    vcpu = {"id": 0, "exits_total": 1000 * step, "exits": {"io": 900 * step, "hl\x1bt": 100 * step}}
    return {
        "commands": {"info": "describes the VM", "ps": "lists tasks"},
        "info": {
            "name": "vm", "pid": 4711, "state": "running", "uptime_seconds": 60.0 + step, "cpus": 1,
            "memory": {"size": 512 * MIB}, "vcpus": [vcpu], "process": {"cpu_ns": step * 10000000},
            "symbiotic": {"current_tasks": [{"vcpu": 0, "pid": 7, "comm": "a\u202ebusy"}]},
            "devices": [{"name": "disk0", "type": "virtio-blk", "reads": step, "writes": 0,
                         "read_bytes": step * MIB, "written_bytes": 0}],
        },
        "exits": {
            "seconds": 2.0, "sample": 100, "other": 0, "totals": {"io": {"exits": 20, "asked": 20, "unattributed": 4}},
            "rows": [{"count": 16, "reason": "io", "port": 1520, "write": True,
                      "task": {"pid": 7, "comm": "busy\x1b[2J\x9b", "cgroup": "/web"}},
                     {"count": 4, "reason": "io", "port": 1520, "write": True, "task": None}],
        },
        "memory": {"size": 512 * MIB, "host": 100 * MIB},
        "memory_use": {"mem_total": 500 * MIB, "mem_available": 300 * MIB, "swap_total": 1024 * MIB,
                       "swap_free": 512 * MIB, "swap_in": 5, "swap_out": 5},
        "ps": {"complete": True, "tasks": [
            {"pid": 7, "start_ns": 1, "state": "R", "rss": 8192, "utime_ns": step * 10000000,
             "stime_ns": 0, "comm": "busy\x1b[2J\x9b" + "x" * 300, "cgroup": "/"},
            {"pid": 8, "start_ns": 2, "state": "S", "rss": 4096, "utime_ns": 5, "stime_ns": 0,
             "comm": "idle", "cgroup": "/"}]},
    }


def answer(line, step, options):
    request = json.loads(line)
    result = answers(step).get(request["command"])
    if options.no_guest and request["command"] in ("ps", "memory_use"):
        return {"error": {"code": -107, "message": "the guest\nhas not registered"}}
    if options.markup and request["command"] == "ps":
        result["tasks"][1]["comm"] = "<script>alert(1)</script>&'\""
    if options.empty and result:
        result = {}
    if request["command"] == "info" and 0 < options.panic_at <= step:
        result.update(state="panicked", panic="Oops\x1b[2J")
    if result is None:
        return {"error": {"code": -22, "message": "unknown command"}}
    return {"result": result}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("--no-guest", action="store_true")
    parser.add_argument("--requests", type=int, default=-1)
    parser.add_argument("--panic-at", type=int, default=0)
    parser.add_argument("--markup", action="store_true")
    parser.add_argument("--empty", action="store_true")
    options = parser.parse_args()
    hold_name(options.place)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options.place + ".sock")
    listener.listen(10)
    with open(options.place + ".ready", "w", encoding="utf-8"):
        pass
    step = 0
    while step != options.requests:
        client, _ = listener.accept()
        with client, client.makefile("rw", encoding="utf-8") as stream:
            for line in stream:
                step += 1
                stream.write(json.dumps(answer(line, step, options)) + "\n")
                stream.flush()
                if step == options.requests:
                    break


if __name__ == "__main__":
    main()
