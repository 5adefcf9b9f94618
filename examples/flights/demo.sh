#!/bin/sh
# The main job end to end: run it detached, look at it, take a savepoint, cancel it, start it again from the savepoint, stop it.
# usage: demo.sh [path to the flink binary]
set -eu
flink=${1:-flink}
case $flink in */*) flink=$(cd "$(dirname "$flink")" && pwd)/$(basename "$flink") ;; esac
cd "$(dirname "$0")"
rm -rf checkpoints savepoints late flights.db flights.db-wal flights.db-shm

show() { printf '\n$ %s\n' "$*"; }
results() {
  if command -v sqlite3 >/dev/null 2>&1; then
    query='SELECT carrier, origin, flights, cancelled, round(mean_departure_delay, 1) AS mean_delay, max_departure_delay AS max_delay FROM totals ORDER BY flights DESC LIMIT 5'
    show "sqlite3 -header -column flights.db '$query'"
    sqlite3 -header -column flights.db "$query"
  fi
}

show flink run -d flights.toml
job=$("$flink" run -d -q flights.toml)
echo "Job has been submitted with JobID $job"
show flink list
"$flink" list

# A checkpoint commits what was read so far: the table and the files become visible with it.
show flink checkpoint "$job"
"$flink" checkpoint "$job"
results

show flink savepoint "$job" savepoints/
path=$("$flink" savepoint -q "$job" savepoints/)
echo "Savepoint completed. Path: $path"
show flink cancel "$job"
"$flink" cancel "$job"

show flink run -d -s "$path" flights.toml
job=$("$flink" run -d -q -s "$path" flights.toml)
echo "Job has been submitted with JobID $job"
show flink stop -p savepoints/ "$job"
"$flink" stop -p savepoints/ "$job"
results
show "ls late/ | head -3; cat late/part-* | head -2"
ls late | head -3
cat late/part-* | head -2
