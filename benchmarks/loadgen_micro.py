#!/usr/bin/env python3
"""What the load generator itself costs: processor time a call, the server looking at nothing.

    python benchmarks/loadgen_micro.py [--seconds 3] [--rate 20000]

The server, a process of its own, answers each call with the same bytes as soon as its last frame
is there; every answer is verified, as always. Calls are encoded before the clock starts, as always.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from threading import Thread
from typing import Final

from drive import Plan, drive
from loadgen.hpack import encode

HOST: Final = "127.0.0.1"
_FRAME: Final = struct.Struct(">HBBBI")
_PREFACE_BYTES: Final = 24
_DATA, _HEADERS, _SETTINGS, _PING, _END_STREAM, _END_HEADERS, _ACK = 0, 1, 4, 6, 1, 4, 1
_READ_BYTES: Final = 1 << 18
_SERVER_CORE, _CLIENT_CORE = 0, 1
_ALLOWED: Final = b"\x00\x00\x00\x00\x06\x08\x01\x12\x02\x08\x03"


def _frame(kind: int, flags: int, payload: bytes) -> bytearray:
    return bytearray(_FRAME.pack(0, len(payload), kind, flags, 0) + payload)


def _answer() -> tuple[bytearray, list[int]]:
    """The frames of an answer, and where their stream numbers go."""
    answer, places = bytearray(), list[int]()
    for frame in (
        _frame(_HEADERS, _END_HEADERS, encode([("content-type", "application/grpc")])),
        _frame(_DATA, 0, _ALLOWED),
        _frame(_HEADERS, _END_HEADERS | _END_STREAM, encode([("grpc-status", "0")])),
    ):
        places.append(len(answer) + 5)
        answer += frame
    return answer, places


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Thread(target=_answers, args=(connection,), daemon=True).start()


def _answers(connection: socket.socket) -> None:
    answer, places = _answer()
    connection.sendall(_frame(_SETTINGS, 0, struct.pack(">HI", 4, 2**31 - 1)))
    connection.sendall(bytes(_FRAME.pack(0, 4, 8, 0, 0)) + (2**31 - 70_000).to_bytes(4, "big"))
    held, skip = b"", _PREFACE_BYTES
    while data := connection.recv(_READ_BYTES):
        held += data
        at, out = skip, bytearray()
        while len(held) - at >= _FRAME.size:
            high, low, kind, flags, stream = _FRAME.unpack_from(held, at)
            end = at + _FRAME.size + (high << 8 | low)
            if len(held) < end:
                break
            if kind == _DATA and flags & _END_STREAM:
                for place in places:
                    struct.pack_into(">I", answer, place, stream)
                out += answer
            at = end
        held, skip = held[at:], 0
        if out:
            connection.sendall(out)


def _plan(port: int, options: argparse.Namespace) -> Plan:
    return Plan(
        kind="check", protocol="grpc", host=HOST, port=port, tenant="bench", size=10_000, seed=1,
        connections=8, in_flight=64, warmup_s=0.5, seconds=options.seconds, question="3-level",
    )  # fmt: skip


def main() -> None:
    """Print a row for calls as fast as they go and one for a fixed rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the server")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=20_000.0)
    options = parser.parse_args()
    several = len(os.sched_getaffinity(0)) > 1
    if options.serve:
        if several:
            os.sched_setaffinity(0, {_SERVER_CORE})
        listener = socket.create_server((HOST, 0), backlog=64)
        print(listener.getsockname()[1], flush=True)
        _serve(listener)
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            plan = _plan(int(server.stdout.readline()), options)
            if several:
                os.sched_setaffinity(0, {_CLIENT_CORE})
            print(f"{'':<24}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'us a call':>11}{'core':>7}")
            for name, each in (
                ("as fast as it goes", plan), ("offered", replace(plan, rate=options.rate)),
            ):  # fmt: skip
                result = drive(each)
                if result.errors:
                    raise SystemExit(f"{result.errors} errors, the first: {result.first_error}")
                us = result.cpu_share / result.rate * 1e6
                offered = f"{name} {result.offered:,.0f}/s" if result.offered else name
                print(
                    f"{offered:<24}{result.rate:>10,.0f}{result.p50_ms:>9.2f}{result.p99_ms:>9.2f}"
                    f"{us:>11.1f}{result.cpu_share:>7.0%}"
                )
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
