"""Channel Access clients that put with completion and go, one after another, as fast as one process can: no library, so that what a
client does not wait for is known. The processor that all share is the one given, so that threads of the server are interrupted wherever
they wake another.

put_storm.py PORT RECORD CPU CLIENTS"""

import os
import socket
import struct
import sys

VERSION, CLEAR, CREATE, WRITE_NOTIFY, CLIENT_NAME, HOST_NAME = 0, 12, 18, 19, 20, 21
DOUBLE = 6  # DBR_DOUBLE


def message(command, payload=b"", kind=0, count=0, first=0, second=0):
    payload += bytes(-len(payload) % 8)
    return struct.pack(">HHHHII", command, len(payload), kind, count, first, second) + payload


class Circuit:
    """One client: a TCP connection with one channel."""

    def __init__(self, port, record):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")
        self.record = record.encode() + b"\0"
        self.send(message(VERSION, count=13) + message(CLIENT_NAME, b"storm\0") + message(HOST_NAME, b"here\0"))
        self.open()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, command):
        """Both parameters of the next message of this kind."""
        while True:
            got, size, _, _, first, second = struct.unpack(">HHHHII", self.stream.read(16))
            self.stream.read(size)
            if got == command:
                return first, second

    def open(self):
        self.send(message(CREATE, self.record, first=1, second=13))
        self.channel = self.answer(CREATE)[1]

    def put(self, value):
        self.send(message(WRITE_NOTIFY, struct.pack(">d", value), DOUBLE, 1, self.channel, 1))

    def clear(self):
        self.send(message(CLEAR, first=self.channel, second=1))

    def close(self):
        self.stream.close()
        self.socket.close()


def put_and_leave(circuit):
    circuit.answer(WRITE_NOTIFY)


def put_and_abandon(circuit):
    """Leaves without the answer."""


def put_and_clear(circuit):
    """Gives the channel back and takes it again, twice, the first time without waiting for the answer."""
    circuit.clear()
    circuit.open()
    circuit.put(1)
    circuit.answer(WRITE_NOTIFY)
    circuit.clear()
    circuit.open()


def main():
    port, record, processor, clients = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    os.sched_setaffinity(0, {processor})
    ways = [put_and_leave, put_and_clear, put_and_leave, put_and_abandon]
    for number in range(clients):
        circuit = Circuit(port, record)
        circuit.put(1 + number % 9)
        ways[number % len(ways)](circuit)
        circuit.close()


if __name__ == "__main__":
    main()
