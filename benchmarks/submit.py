"""Durable submit one by one, against a bare ZeroMQ echo whose server does one ``fdatasync`` per message.

Both sides run in turn, in small rounds, on the same disk. Target: p50 at most twice the limit's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time

import zmq
from common import median, percentile, report, yard


def echo_server(address: str, path: str) -> None:
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(address)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    while True:
        route, data = socket.recv_multipart()
        os.write(fd, data)
        os.fdatasync(fd)
        socket.send_multipart([route, data])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=200, help="per round and side")
    options = parser.parse_args()
    with yard("[queues.held]\npaused = true\n") as one, tempfile.TemporaryDirectory(dir=one.directory) as name:
        address = f"ipc://{name}/echo"
        server = multiprocessing.get_context("spawn").Process(
            target=echo_server, args=(address, f"{name}/file"), daemon=True
        )
        server.start()
        echo = zmq.Context().socket(zmq.DEALER)
        echo.connect(address)
        client = one.client()
        held = client.options(queue="held")
        echo.send(b"x" * 200)
        echo.recv()
        held.submit("jobs:add", 1, 2)
        ours: list[float] = []
        limit: list[float] = []
        for _ in range(options.rounds):
            for _ in range(options.count):
                began = time.perf_counter()
                echo.send(b"x" * 200)
                echo.recv()
                limit.append(time.perf_counter() - began)
            for _ in range(options.count):
                began = time.perf_counter()
                held.submit("jobs:add", 1, 2)
                ours.append(time.perf_counter() - began)
        server.terminate()
        client.close()
        echo.close(0)
    report(
        "submit",
        submit_p50_ms=median(ours) * 1e3,
        submit_p99_ms=percentile(ours, 0.99) * 1e3,
        limit_p50_ms=median(limit) * 1e3,
        limit_p99_ms=percentile(limit, 0.99) * 1e3,
        ratio_p50=median(ours) / median(limit),
        target="ratio_p50 <= 2.0",
    )


if __name__ == "__main__":
    main()
