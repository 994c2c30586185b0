#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""ask_often.py SOCKET VCPUS COUNT: COUNT pings on the vCPUs in turn, each with other numbers. Prints how many
were right. Fails on a wrong sum and on any error."""
import json
import socket
import sys

path, vcpus, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = socket.socket(socket.AF_UNIX)
client.connect(path)
client.settimeout(600)
stream = client.makefile("rw")
for number in range(count):
    left, right = number * 0x1234567, number ^ 0x5A5A5A
    json.dump({"command": "call", "id": number,
               "arguments": {"call": "ping", "vcpu": number % vcpus, "args": [left, right]}}, stream)
    stream.write("\n")
    stream.flush()
    answer = json.loads(stream.readline())
    if answer.get("id") != number or answer.get("result", {}).get("value") != left + right:
        sys.exit("call %d on vCPU %d: %s" % (number, number % vcpus, answer))
print("%d calls right" % count)
