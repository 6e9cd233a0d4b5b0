import ipaddress, os, socket, struct, subprocess, sys, tempfile, threading, time
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM

KINDS = {'A': 1, 'PTR': 12, 'AAAA': 28, 'SRV': 33, 'HTTPS': 65, 'AXFR': 252}
CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN']
EXPECTED = '198.51.100.4'
FOUR, SIX = sys.argv[-2:] if ':' in sys.argv[-1] else ('10.9.0.53', 'fd09::53')


def encode(name):
    return b''.join(bytes([len(part)]) + part.encode() for part in name.split('.')) + b'\0'


def query(name, kind, number=None):
    number = int.from_bytes(os.urandom(2), 'big') if number is None else number
    return struct.pack('>6H', number, 0x100, 1, 0, 0, 0) + encode(name) + struct.pack('>2H', KINDS.get(kind, 1), 1)


def question(message):
    end, labels = 12, []
    while message[end]:
        labels.append(message[end + 1:end + 1 + message[end]].decode())
        end += 1 + message[end]
    return '.'.join(labels), message[end + 1:end + 3], message[12:end + 5]


def answer(message, code=0, number=None, asked=None, pad=0):
    number = message[:2] if number is None else number
    asked = question(message)[2] if asked is None else asked
    records = 0 if code else 1
    body = b'\xc0\x0c' + struct.pack('>2HIH', 1, 1, 5, 4) + socket.inet_aton(EXPECTED) if records else b''
    return number + struct.pack('>5H', 0x8180 | code, 1, records, 0, 0) + asked + body + b'\0' * pad


def replies(message, seen):
    name = question(message)[0]
    if name.endswith('cluster.local') and not name.startswith(('reviews.default.svc', 'four.')):
        return [answer(message, 3)]
    if name == 'gone.test':
        return [answer(message, 3)]
    if name == 'silent.test' or name.startswith('flood'):
        return []
    if name == 'lost.test' and name not in seen:
        seen.add(name)
        return []
    if name == 'huge.test':
        return [answer(message, pad=2000)]
    if name == 'forged.test':
        other = question(query('evil.test', 'A'))[2]
        flipped = bytes([message[0] ^ 1, message[1]])
        return [answer(message, number=flipped), answer(message, asked=other), message, answer(message)]
    return [answer(message)]


def serve_udp(family, address):
    listener = socket.socket(family, SOCK_DGRAM)
    listener.bind((address, 53))
    other = socket.socket(family, SOCK_DGRAM)
    seen = set()
    while True:
        message, peer = listener.recvfrom(65535)
        if question(message)[0] == 'otherport.test':
            other.sendto(answer(message, 3), peer)
        for reply in replies(message, seen):
            listener.sendto(reply, peer)


def serve_connection(connection):
    while True:
        message = receive(connection)
        if message is None:
            return
        count = 3 if question(message)[1] == struct.pack('>H', 252) else 1
        for reply in replies(message, set()) * count:
            connection.sendall(struct.pack('>H', len(reply)) + reply)


def receive(connection):
    head = connection.recv(2, socket.MSG_WAITALL)
    return connection.recv(struct.unpack('>H', head)[0], socket.MSG_WAITALL) if len(head) == 2 else None


def serve():
    listener = socket.socket(AF_INET, SOCK_STREAM)
    listener.bind((FOUR, 53))
    listener.listen()
    for family, address in ((AF_INET, FOUR), (AF_INET6, SIX)):
        threading.Thread(target=serve_udp, args=(family, address), daemon=True).start()
    time.sleep(0.1)
    print('ready')
    while True:
        connection = listener.accept()[0]
        threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()


def addresses(message):
    at, found = 12 + len(question(message)[2]), []
    for _ in range(struct.unpack('>H', message[6:8])[0]):
        length = struct.unpack('>H', message[at + 10:at + 12])[0]
        data = message[at + 12:at + 12 + length]
        is_name = message[at + 2:at + 4] == b'\0\x0c'
        found.append(question(b'\0' * 12 + data)[0] if is_name else str(ipaddress.ip_address(data)))
        at += 12 + length
    return found


def told(message):
    flags = struct.unpack('>H', message[2:4])[0]
    words = [CODES[flags & 15]] + ['aa'] * (flags >> 10 & 1) + ['tc'] * (flags >> 9 & 1)
    return ' '.join(words + addresses(message))


def ask(way, message):
    way, _, given = way.partition('@')
    four = given or FOUR
    if way == 'tcp':
        connection = socket.create_connection((four, 53), 9)
        connection.sendall(struct.pack('>H', len(message)) + message)
        return receive(connection)
    six = {'udp6': SIX, 'mapped': '::ffff:' + four}.get(way)
    asking = socket.socket(AF_INET6 if six else AF_INET, SOCK_DGRAM)
    asking.settimeout(9)
    if way == 'connected':
        asking.connect((four, 53))
        asking.send(message)
    else:
        asking.sendto(message, (six or four, 53))
    reply, peer = asking.recvfrom(65535)
    assert peer[0] == (six or four) and peer[1] == 53, peer
    assert reply[:2] == message[:2] and question(reply)[2] == question(message)[2], reply
    return reply


def library(name):
    with tempfile.NamedTemporaryFile('w') as file:
        file.write('nameserver %s\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n' % FOUR)
        file.flush()
        code = 'import socket,sys; print(*sorted({e[4][0] for e in socket.getaddrinfo(sys.argv[1], 80, type=1)}))'
        # A mount namespace of its own hides the machine's resolv.conf.
        script = 'mount --bind "$0" /etc/resolv.conf && exec python3 -c "$1" "$2"'
        subprocess.run(['unshare', '-m', 'sh', '-c', script, file.name, code, name], check=True)


def pipeline():
    connection = socket.create_connection((FOUR, 53), 9)
    asked = [('reviews.default.svc.cluster.local', 'A'), ('outside.test', 'A'), ('w.example.com', 'A'), ('zone.test', 'AXFR')]
    found = {}
    for number, (name, kind) in enumerate(asked):
        message = query(name, kind, number)
        connection.sendall(struct.pack('>H', len(message)) + message)
    for _ in range(6):
        message = receive(connection)
        found.setdefault(message[1], []).extend(addresses(message))
    print(' '.join(address for number in range(4) for address in found[number]))


def flood():
    asking = socket.socket(AF_INET, SOCK_DGRAM)
    asking.settimeout(3)
    refused = 0
    for number in range(600):
        asking.sendto(query('flood%d.test' % number, 'A'), (FOUR, 53))
        if number >= 512:
            refused += asking.recv(999)[3] & 15 == 2
    print(refused, *addresses(ask('udp', query('reviews.default.svc.cluster.local', 'A'))))


def rubbish():
    asking = socket.socket(AF_INET, SOCK_DGRAM)
    asking.settimeout(5)
    good = query('reviews.default.svc.cluster.local', 'A')
    for junk in (b'', b'\0', os.urandom(11), answer(good), good[:14] + b'\xc0\x0e' * 40, os.urandom(5000)):
        asking.sendto(junk, (FOUR, 53))
    asking.sendto(good[:4] + b'\0\x09' + good[6:], (FOUR, 53))
    while True:
        reply = asking.recv(999)
        if reply[:2] == good[:2]:
            break
    print(CODES[reply[3] & 15], told(ask('udp', good)))


if sys.argv[1] == 'serve':
    serve()
elif sys.argv[1] in ('pipeline', 'flood', 'rubbish'):
    globals()[sys.argv[1]]()
elif sys.argv[1] == 'library':
    library(sys.argv[2])
else:
    print(told(ask(sys.argv[1], query(sys.argv[2], sys.argv[3]))))
