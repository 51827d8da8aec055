"""What a host answers to NTP, and takes from collectd; prints "ntp" or "collectd NAME" for each packet.

    /usr/bin/python3 -I udp_servers.py <address>

There is no small program for these in Debian that does not set this machine's clock, or start at its installation. Both
are judged by what talks to them: chrony calls a source good only after several answers that make sense.
"""

import selectors
import socket
import struct
import sys
import time

NTP, COLLECTD = 123, 25826
# Seconds from the epoch of NTP to that of Unix.
EPOCH = 2208988800
# No leap second, version 4, server; stratum 1; poll; precision of a microsecond; no delay to, and 1 ms from, the clock.
HEADER = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 66, b"LAB\0")


def timestamp() -> bytes:
    """Now, as NTP writes it."""
    return struct.pack("!Q", int((time.time() + EPOCH) * 2**32))


def ntp_answer(question: bytes) -> bytes:
    """RFC 5905, 7.3: the client's own time stamp comes back, so that it knows what is answered."""
    now = timestamp()
    return HEADER + now + question[40:48] + now + timestamp()


def collectd_host(packet: bytes) -> str:
    """The sender's name: the first part, of type 0, of a packet in collectd's binary protocol."""
    kind, length = struct.unpack("!HH", packet[:4])
    return packet[4:length - 1].decode() if kind == 0 else "?"


def main() -> None:
    sockets = selectors.DefaultSelector()
    for port in (NTP, COLLECTD):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((sys.argv[1], port))
        sockets.register(server, selectors.EVENT_READ, port)
    print("ready", flush=True)
    while True:
        for key, _ in sockets.select():
            packet, sender = key.fileobj.recvfrom(2048)
            if key.data == NTP:
                key.fileobj.sendto(ntp_answer(packet), sender)
                print("ntp", flush=True)
            else:
                print("collectd", collectd_host(packet), flush=True)


if __name__ == "__main__":
    main()
