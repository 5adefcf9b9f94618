#!/usr/bin/env python3
"""Seeded bid generator. usage: bids.py {10k|1m|zipf|20m} N OUT [csv]
Fields: auction, bidder, price, channel, url, ts. 1000 events per second of
event time; ts = base + i ms - jitter(0..2000 ms)  (ascending with up to 2 s of
disorder). 20m: the first 20 million rows have a key each, in a scattered order,
those behind them random ones."""
import sys, random, bisect, itertools, datetime
kind, n, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
csv = len(sys.argv) > 4 and sys.argv[4] == 'csv'
rnd = random.Random({'10k': 1, '1m': 2, 'zipf': 3, '20m': 4}[kind])
r = rnd.random
CH = ['Google', 'Facebook', 'Baidu', 'Apple', 'Amazon']
if kind == 'zipf':
    NK = 1_000_000; s = 1.1
    cum = list(itertools.accumulate(1.0 / (k ** s) for k in range(1, NK + 1)))
    tot = cum[-1]
    perm = list(range(NK)); rnd.shuffle(perm)
    bis = bisect.bisect
    key = lambda: perm[bis(cum, r() * tot)]
elif kind == '20m':
    NK = 20_000_000
    # The step has no factor in common with the number of keys: each one comes once.
    fresh = (at * 7_654_321 % NK for at in range(NK))
    key = lambda: next(fresh, -1) if i < NK else int(r() * NK)
else:
    NK = 10_000 if kind == '10k' else 1_000_000
    key = lambda: int(r() * NK)
BASE = datetime.datetime(2024, 1, 1, 0, 0, 10)
sec = {}
def stamp(ms):
    q, m = divmod(ms, 1000)
    p = sec.get(q)
    if p is None:
        p = sec[q] = (BASE + datetime.timedelta(seconds=q)).strftime('%Y-%m-%d %H:%M:%S.')
        if len(sec) > 64:
            for k in sorted(sec)[:32]: del sec[k]
    return p + '%03d' % m
HEX = ['%04x' % i for i in range(65536)]
with open(out, 'w', buffering=1 << 20) as f:
    buf = []
    for i in range(n):
        a = key(); b = int(r() * 100_000); p = 100 + int(r() * 1_000_000)
        c = CH[int(r() * 5)]
        u = 'https://auction.example.com/item/' + HEX[int(r() * 65536)] + HEX[int(r() * 65536)]
        t = stamp(i - int(r() * 2000))
        if csv:
            buf.append(f'{a},{b},{p},{c},{u},{t}\n')
        else:
            buf.append(f'{{"auction":{a},"bidder":{b},"price":{p},"channel":"{c}","url":"{u}","ts":"{t}"}}\n')
        if len(buf) == 20000:
            f.write(''.join(buf)); buf = []
    f.write(''.join(buf))
