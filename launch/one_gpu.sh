#!/usr/bin/env bash
# A study on one GPU: several jobs share it, since one small run leaves most of it idle.
#
#     launch/one_gpu.sh --config=configs/studies/main_table.py
#     launch/one_gpu.sh --jobs=5 --minutes=14 --config=configs/studies/main_table.py --dry-run
#
# Arguments go to glam_jax.study, except
#   --jobs=N       jobs at a time; default 5. With as many as the study has methods, each first
#                  compiles another program, and all later cells find theirs compiled.
#   --minutes=M    after which all jobs save and end; default 0, when the study is done
#   --python=PATH  an interpreter with glam_jax installed; default python
#   --logs=DIR     where jobK.log go; default logs
#   --dry-run      print what would be run
# Datasets are recorded once, by the job that needs them first. The jobs share the GPU through
# NVIDIA's MPS where its daemon is installed, else by time slices. The same command goes on where
# it stopped. Exit status: that of the report's command, or of a job which failed.
set -euo pipefail

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

# show COMMAND...: one line that a shell would read back as the same words.
show() {
  local word line="" quote="'\\''"
  for word in "$@"; do
    [[ "$word" =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//"'"/"$quote"}'"
    line+=" $word"
  done
  echo "${line# }"
}

jobs="5" minutes="0" python="python" logs="logs" dry_run="" config="" arguments=()
for argument in "$@"; do
  case "$argument" in
    --jobs=*) jobs="${argument#*=}" ;;
    --minutes=*) minutes="${argument#*=}" ;;
    --python=*) python="${argument#*=}" ;;
    --logs=*) logs="${argument#*=}" ;;
    --dry-run) dry_run="yes" ;;
    --run | --norun | --run=*) fail "'$argument' is this script's part" ;;
    *) arguments+=("$argument") ;;
  esac
  [[ "$argument" != --config=?* ]] || config="${argument#*=}"
done
[[ -n "$config" ]] || fail "--config=FILE is missing, such as --config=configs/studies/main_table.py"
[[ -n "$python" ]] || fail "--python is empty; expected an interpreter"
[[ -n "$logs" ]] || fail "--logs is empty; expected a folder"
[[ -d glam_jax ]] || fail "no glam_jax in $PWD; run it from the folder of the repository"
whole --jobs "$jobs" 1 64
whole --minutes "$minutes" 0 99999

command=("$python" -m glam_jax.study "${arguments[@]}")
# A job takes what it needs of the GPU's memory, not most of it at once.
settings=(XLA_PYTHON_CLIENT_PREALLOCATE=false)
mps=""
if [[ -n "$dry_run" ]] || command -v nvidia-cuda-mps-control >/dev/null; then mps="yes"; fi

if [[ -n "$dry_run" ]]; then
  echo "nvidia-cuda-mps-control -d"
  for ((k = 1; k <= jobs; k++)); do
    echo "${settings[*]} $(show "${command[@]}") >$(show "$logs/job$k.log") 2>&1 &"
  done
  if ((minutes)); then echo "after $minutes minutes: SIGTERM to the jobs"; fi
  echo "wait"
  echo "echo quit | nvidia-cuda-mps-control"
  show "${command[@]}" --norun
  exit 0
fi

mkdir -p "$logs"
pids=() started="" # whether this script started the daemon, and so ends it
if [[ -n "$mps" ]] && nvidia-cuda-mps-control -d 2>/dev/null; then started="yes"; fi
end() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM "$pid" 2>/dev/null || true; done
}
trap end INT TERM
trap '[[ -z "$started" ]] || echo quit | nvidia-cuda-mps-control >/dev/null || true' EXIT

for ((k = 1; k <= jobs; k++)); do
  env "${settings[@]}" "${command[@]}" >"$logs/job$k.log" 2>&1 </dev/null &
  pids+=("$!")
done
echo "$jobs jobs, logs $logs/job*.log"

running() {
  local pid
  for pid in "${pids[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then return 0; fi
  done
  return 1
}
while running; do
  if ((minutes && SECONDS >= 60 * minutes)); then
    echo "$minutes minutes are over: the jobs save and end"
    end
    minutes=0
  fi
  # Waited for in the background, so that a signal is taken at once.
  sleep 0.5 &
  wait "$!" || true
done

status=0
for ((k = 1; k <= jobs; k++)); do
  code=0
  wait "${pids[k - 1]}" || code=$?
  if ((code)); then
    echo "job $k ended with status $code, see $logs/job$k.log" >&2
    status=$code
  fi
done
"${command[@]}" --norun || status=$?
exit "$status"
