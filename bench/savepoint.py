#!/usr/bin/env python3
"""Takes and restores savepoints and checkpoints of a large running aggregate, and prints how long that takes and how many bytes it writes.

usage: savepoint.py [--flink BINARY] [--keys 20m] [--memory MB] [--backend rocksdb]

The job of jobs/q2.toml reads the bids of compare.py to their end and stays there. Then, on it:
  - a full checkpoint, one after one of a hundred keys has changed (a file with new bids), and one after nothing has;
  - a canonical savepoint: seconds at the command line, rows a second, bytes;
  - the job is cancelled and restored from the savepoint on `hashmap` and on `rocksdb`: seconds from the command to all tasks running.
"""
import argparse, http.client, json, os, re, shutil, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.environ.get('FLINK_PEER_DIR') or os.path.expanduser('~/.cache/flink-peer')
# Seconds in which all rows must be read.
PATIENCE = 600
KEYS = {'10k': 10_000, '1m': 1_000_000, '20m': 20_000_000}


class Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__('flink')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Job:
    """A detached job of the binary in a state directory of its own."""

    def __init__(self, binary, home, arguments):
        self.binary, self.home = binary, home
        self.env = dict(os.environ, BENCH_INPUT=f'{home}/input', FLINK_STATE_DIR=home, FLINK_RUNTIME_DIR=f'{home}/run', CI='true')
        # It waits for more files: what is taken of it stays as it is once all rows are read.
        open_end = ['-D', 'sources.bids.source.monitor-interval=1 s']
        self.id = re.search(r'[0-9a-f]{32}', self.command('run', '-d', '-p', '2', *open_end, *arguments, f'{HERE}/jobs/q2.toml')).group()

    def command(self, *words):
        done = subprocess.run([self.binary, *words], env=self.env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'{words}: exit {done.returncode}\n{done.stdout}{done.stderr}')
        return done.stdout

    def get(self, path):
        connection = Socket(f'{self.home}/run/{self.id}.sock')
        connection.request('GET', f'/jobs/{self.id}{path}')
        return json.load(connection.getresponse())

    def wait_for_rows(self, rows):
        """Until all sources together have read so many rows."""
        deadline = time.time() + PATIENCE
        while sum(vertex['metrics']['write-records'] for vertex in self.get('')['vertices'] if vertex['name'].startswith('Source')) < rows:
            if time.time() > deadline:
                self.command('cancel', self.id)
                sys.exit(f'{rows:,} rows were not read within {PATIENCE} s')
            time.sleep(0.5)

    def wait_until_running(self):
        while any(vertex['status'] != 'RUNNING' for vertex in self.get('')['vertices']):
            time.sleep(0.02)

    def checkpoint(self, *flags):
        """(seconds at the command line, bytes written) of a checkpoint."""
        start = time.time()
        self.command('checkpoint', *flags, self.id)
        seconds = time.time() - start
        return seconds, self.get('/checkpoints')['latest']['completed']['checkpointed_size']

    def peak(self):
        """Peak resident memory in MB."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                words = open(f'/proc/{pid}/environ', 'rb').read()
                if f'FLINK_STATE_DIR={self.home}'.encode() in words:
                    return int(re.search(r'VmHWM:\s+(\d+)', open(f'/proc/{pid}/status').read()).group(1)) / 1024
            except (OSError, AttributeError):
                continue
        return 0.0


def size_of(directory):
    return sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(directory) for name in names)


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--flink', default='flink')
    parser.add_argument('--keys', default='20m', choices=KEYS)
    parser.add_argument('--memory', type=int, default=4096)
    parser.add_argument('--backend', default='rocksdb', choices=['rocksdb', 'hashmap'])
    args = parser.parse_args()
    rows = 25_000_000 if args.keys == '20m' else 5_000_000
    source = f'{PEER}/data/p2-{args.keys}'
    if not os.path.isdir(source):
        sys.exit(f'{source} is missing: compare.py --jobs q2-{args.keys} makes it')
    home = tempfile.mkdtemp(prefix='flink-bench-', dir=os.environ.get('TMPDIR'))
    os.mkdir(f'{home}/input')
    for name in os.listdir(source):
        os.symlink(os.path.join(source, name), f'{home}/input/{name}')
    memory = ['-D', f'state.backend.rocksdb.memory.fixed-per-slot={args.memory // 2}mb']
    options = lambda backend: ['-D', f'state.backend.type={backend}', '-D', 'execution.checkpointing.incremental=true',
                               '-D', 'execution.checkpointing.interval=1h',
                               '-D', f'execution.checkpointing.dir={home}/checkpoints', '-D', 'execution.checkpointing.timeout=1h', *memory]
    keys = KEYS[args.keys]
    start = time.time()
    job = Job(args.flink, home, options(args.backend))
    job.wait_for_rows(rows)
    say(f'{args.backend}, {args.memory} MB: {rows:,} rows of {keys:,} keys read in {time.time() - start:.1f} s')
    seconds, full = job.checkpoint('--full')
    say(f'full checkpoint        {seconds:>6.2f} s {full / 1e6:>8.1f} MB')
    seconds, base = job.checkpoint()
    say(f'checkpoint behind it   {seconds:>6.2f} s {base / 1e6:>8.1f} MB')
    changed = keys // 100
    subprocess.run([sys.executable, f'{HERE}/bids.py', '1m' if keys < 20_000_000 else '20m', str(changed), f'{home}/more'], check=True)
    os.rename(f'{home}/more', f'{home}/input/more')
    job.wait_for_rows(rows + changed)
    seconds, part = job.checkpoint()
    say(f'after 1 % has changed  {seconds:>6.2f} s {part / 1e6:>8.1f} MB, {100 * part / full:.1f} % of the full one')
    start = time.time()
    path = re.search(r'file:(\S+)', job.command('savepoint', '--timeout', '1h', job.id, f'{home}/savepoints')).group(1)
    seconds = time.time() - start
    found = [state['rows'] for state in json.loads(job.command('state', 'ls', '-o', 'json', path))['states'] if state['kind'] == 'groups']
    # Of a million random keys some do not come.
    if len(found) != 1 or not 0.99 * keys <= found[0] <= keys:
        sys.exit(f'the savepoint has {found} rows instead of {keys}')
    keys = found[0]
    say(f'canonical savepoint    {seconds:>6.2f} s {size_of(path) / 1e6:>8.1f} MB, {keys / seconds / 1e6:.2f}M rows a second')
    say(f'peak memory            {job.peak():>6.0f} MB')
    job.command('cancel', job.id)
    for backend in ['hashmap', 'rocksdb']:
        start = time.time()
        restored = Job(args.flink, home, ['-s', path, *options(backend)])
        restored.wait_until_running()
        seconds = time.time() - start
        say(f'restore on {backend:<8}    {seconds:>6.2f} s {"":>12} {keys / seconds / 1e6:.2f}M rows a second, peak {restored.peak():.0f} MB')
        restored.command('cancel', restored.id)
    shutil.rmtree(home, ignore_errors=True)


main()
