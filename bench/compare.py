#!/usr/bin/env python3
"""Runs the same jobs on this binary and on a real Flink 2.3.0, in turn, and prints medians and ratios.

usage: compare.py [--flink BINARY] [--jobs q0,q1,q2-10k,q2-1m,q2-zipf] [--runs 3] [--rows N] [--no-peer]

A job is `<query>[-<keys>][@<state backend>[:<memory in MB>]]`, as in q2-1m@rocksdb or q2-20m@rocksdb:160; the backend is hashmap if it
is left out, its memory (on both sides that of the process) the default. Functions have no counterpart on the peer: `lua` is one in a script; `rust` is the
same one in Rust and needs `--counts`, the program of counts.rs.

What is compared: rows per CPU second (user + system; for the peer the TaskManager's, for us the whole process with start and end),
wall seconds, and peak resident memory. Both read the same JSON files, split in two, with parallelism 2, exactly-once checkpoints
every 10 s, into a blackhole. Files are read once before each run, so that both find them in the page cache.

The peer is set up by peer/setup.sh under $FLINK_PEER_DIR (default ~/.cache/flink-peer) and started by peer/start.sh.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.environ.get('FLINK_PEER_DIR') or os.path.expanduser('~/.cache/flink-peer')
REST = 'http://localhost:18081'
COLUMNS = 'auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, ts TIMESTAMP(3)'
SINKS = {
    'q0': (COLUMNS, 'SELECT auction, bidder, price, channel, url, ts FROM bids'),
    'q1': ('auction BIGINT, bidder BIGINT, price DOUBLE, ts TIMESTAMP(3)',
           "SELECT auction, bidder, CAST(price AS DOUBLE) * 0.908, ts FROM bids WHERE channel = 'Apple'"),
    'q2': ('auction BIGINT, c BIGINT, s BIGINT, m BIGINT',
           'SELECT auction, COUNT(*), SUM(price), MAX(price) FROM bids GROUP BY auction'),
}


def rows_of(keys):
    """How many rows there are without --rows: of many keys each one once, then random ones."""
    return 25_000_000 if keys == '20m' else 5_000_000


def dataset(keys, rows):
    """The directory with two files that hold `rows` bids over `keys` keys; made on first use."""
    directory = f'{PEER}/data/p2-{keys}' if rows == rows_of(keys) else f'{PEER}/data/p2-{keys}-{rows}'
    if not os.path.isdir(directory):
        os.makedirs(f'{PEER}/data', exist_ok=True)
        whole = directory + '.ndjson'
        subprocess.run([sys.executable, f'{HERE}/bids.py', keys, str(rows), whole], check=True)
        os.makedirs(directory + '.tmp', exist_ok=True)
        subprocess.run(['split', '-n', 'r/2', whole, directory + '.tmp/part-'], check=True)
        os.rename(directory + '.tmp', directory)
        os.remove(whole)
    return directory


def warm(directory):
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), 'rb') as f:
            while f.read(1 << 22):
                pass


def backend_options(backend):
    """The options that a backend with its memory stands for: the same ones on both sides."""
    kind, _, memory = backend.partition(':')
    options = {'state.backend.type': kind}
    if memory:
        # One slot is one of two.
        options['state.backend.rocksdb.memory.fixed-per-slot'] = f'{int(memory) // 2}mb'
    return options


def ours(binary, job, backend, directory):
    """(wall seconds, CPU seconds, peak MB) of one run of this binary."""
    home = tempfile.mkdtemp(prefix='flink-bench-')
    env = dict(os.environ, BENCH_INPUT=directory, FLINK_STATE_DIR=home, FLINK_RUNTIME_DIR=home + '/run', CI='true')
    start = time.time()
    options = [word for key, value in backend_options(backend).items() for word in ('-D', f'{key}={value}')]
    command = [binary, 'run', '-p', '2', *options, f'{HERE}/jobs/{job}.toml']
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.time() - start
    shutil.rmtree(home, ignore_errors=True)
    if status != 0:
        sys.exit(f'{job}: exit {os.waitstatus_to_exitcode(status)}\n{errors}')
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def peer_pid():
    import glob
    for path in glob.glob(f'{PEER}/pid/*taskexecutor*.pid'):
        for line in open(path):
            if line.strip() and os.path.exists('/proc/' + line.strip()):
                return int(line)
    sys.exit('no TaskManager runs: start it with bench/peer/start.sh')


def cpu_of(pid):
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def peak_of(pid):
    for line in open(f'/proc/{pid}/status'):
        if line.startswith('VmHWM'):
            return int(line.split()[1]) / 1024
    return 0.0


def peer(job, keys, backend, directory):
    """(wall seconds, CPU seconds of the TaskManager, its peak MB) of one run on the real Flink."""
    columns, insert = SINKS[job]
    conf = {**backend_options(backend), 'execution.checkpointing.interval': '10s', 'execution.checkpointing.mode': 'EXACTLY_ONCE',
            'parallelism.default': '2', 'execution.checkpointing.checkpoints-after-tasks-finish': 'false'}
    sql = ''.join(f"SET '{k}' = '{v}';\n" for k, v in conf.items())
    sql += f"CREATE TABLE bids ({COLUMNS}) WITH ('connector'='filesystem','path'='file://{directory}','format'='json');\n"
    sql += f"CREATE TABLE snk ({columns}) WITH ('connector'='blackhole');\nINSERT INTO snk {insert};\n"
    os.makedirs(f'{PEER}/sql', exist_ok=True)
    path = f'{PEER}/sql/{job}-{keys}-{backend.replace(":", "-")}.sql'
    open(path, 'w').write(sql)
    pid = peer_pid()
    before = cpu_of(pid)
    arguments = [f'{PEER}/flink/bin/flink', 'run', '-d', *[f'-D{k}={v}' for k, v in conf.items()], f'{PEER}/sqlrunner.jar', path]
    out = subprocess.run(arguments, capture_output=True, text=True)
    found = re.search(r'SQLJOB (\w+)', out.stdout)
    if not found:
        sys.exit(out.stdout[-2000:] + out.stderr[-2000:])
    while True:
        answer = json.load(urllib.request.urlopen(f'{REST}/jobs/{found.group(1)}'))
        if answer['state'] in ('FINISHED', 'FAILED', 'CANCELED'):
            break
        time.sleep(0.2)
    if answer['state'] != 'FINISHED':
        sys.exit(f'{job} on the peer: {answer["state"]}')
    return answer['duration'] / 1000, cpu_of(pid) - before, peak_of(pid)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--flink', default='flink')
    parser.add_argument('--jobs', default='q0,q1,q2-10k,q2-1m,q2-zipf')
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--rows', type=int)
    parser.add_argument('--counts', default='counts')
    parser.add_argument('--no-peer', action='store_true')
    args = parser.parse_args()
    print(f'{"job":<16} {"side":<6} {"wall s":>7} {"CPU s":>7} {"rows/CPU s":>12} {"peak MB":>8}   runs: CPU s')
    for name in args.jobs.split(','):
        query, _, backend = name.partition('@')
        job, _, keys = query.partition('-')
        backend = backend or 'hashmap'
        keys = keys or '10k'
        rows = args.rows or rows_of(keys)
        directory = dataset(keys, rows)
        binary = args.counts if job == 'rust' else args.flink
        results = {'ours': [], 'flink': []}
        for _ in range(args.runs):
            warm(directory)
            results['ours'].append(ours(binary, job, backend, directory))
            if not args.no_peer and job in SINKS:
                warm(directory)
                results['flink'].append(peer(job, keys, backend, directory))
        medians = {}
        for side, runs in results.items():
            if not runs:
                continue
            wall, cpu, peak = (statistics.median(r[i] for r in runs) for i in range(3))
            medians[side] = (wall, cpu, peak)
            each = ' '.join(f'{r[1]:.2f}' for r in runs)
            print(f'{name:<16} {side:<6} {wall:>7.2f} {cpu:>7.2f} {rows / cpu / 1e6:>11.2f}M {peak:>8.0f}   {each}', flush=True)
        if len(medians) == 2:
            o, f = medians['ours'], medians['flink']
            print(f'{name:<16} ratio  {f[0] / o[0]:>6.1f}x {f[1] / o[1]:>6.1f}x {"":>12} {f[2] / o[2]:>7.1f}x', flush=True)


main()
