"""Run on a host as root: records UDP datagrams on their way, and sends some of one's own.

    datagrams.py record COUNT PORT            COUNT lines "SOURCE DESTINATION HEX" of what passes to that port, its own included
    datagrams.py send ADDRESS PORT SECONDS    sends each line of hex from its input, listens so long: prints the number of answers
    datagrams.py flood ADDRESS PORT COUNT     the lines of its input over and over, COUNT in all: prints the number of answers
    datagrams.py heard PORT SECONDS ADDRESS   how many packets came to that address so long: datagrams from that port, and ICMP errors
"""
import binascii, select, socket, struct, sys, time

ETH_P_ALL, ICMP, UDP = 3, 1, 17


def packets(until):
    """IPv4 packets that pass the interface, with their headers, as (protocol, source, destination, source port, port, payload)."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    link.bind(("eth0", 0))
    print("ready", flush=True)
    while until is None or time.monotonic() < until():
        if not select.select([link], [], [], 0.1)[0]:
            continue
        frame = link.recv(65535)
        if frame[12:14] != b"\x08\x00" or len(frame) < 42:
            continue
        ip = frame[14:]
        head = (ip[0] & 15) * 4
        source, destination = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
        here, there, length = struct.unpack("!HHH", ip[head : head + 6])
        yield ip[9], source, destination, here, there, ip[head + 8 : head + length]


def lines():
    return [binascii.unhexlify(line.strip()) for line in sys.stdin if line.strip()]


def answers(sock):
    n = 0
    while True:
        try:
            sock.recv(65535)
            n += 1
        except BlockingIOError:
            return n
        except OSError:
            n += 1


def main(verb, *args):
    if verb == "record":
        seen = set()
        for protocol, source, destination, _, port, payload in packets(None):
            if protocol != UDP or port != int(args[1]) or payload in seen:
                continue
            seen.add(payload)
            print(source, destination, payload.hex(), flush=True)
            if len(seen) == int(args[0]):
                return
    if verb == "heard":
        end = time.monotonic() + float(args[1])
        n = 0
        for protocol, source, destination, here, _, _ in packets(lambda: end):
            if destination == args[2] and (protocol == ICMP or protocol == UDP and here == int(args[0])):
                n += 1
        print(n)
        return
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    to = (args[0], int(args[1]))
    said, got = lines(), 0
    count = len(said) if verb == "send" else int(args[2])
    for i in range(count):
        while True:
            try:
                sock.sendto(said[i % len(said)], to)
                break
            except (BlockingIOError, ConnectionRefusedError):
                select.select([], [sock], [], 0.01)
        if i % 64 == 0:
            got += answers(sock)
            time.sleep(0.001)
    time.sleep(float(args[2]) if verb == "send" else 1)
    print(got + answers(sock))


main(*sys.argv[1:])
