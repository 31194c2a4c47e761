#!/usr/bin/env bash
# What one worker of a TPU pod does; launch/tpu_pod.sh calls it on all of them over ssh.
#
#     launch/tpu_worker.sh setup [--nfs=SERVER:/EXPORT]   install, and mount the export at /shared
#     launch/tpu_worker.sh start ARGUMENTS...             glam_jax.train, in the tmux session glam
#     launch/tpu_worker.sh status | logs | stop
#     launch/tpu_worker.sh --dry-run setup | start ...    print the commands
#
# status prints one line `glam-status: WORD`: absent (never started), running, stopped (saved on
# request), done, failed, or lost (gone without an exit status, as after a reboot).
# GLAM_RUN is the folder of log and status, default ~/glam_run; GLAM_VENV that of Python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run="${GLAM_RUN:-$HOME/glam_run}"
venv="${GLAM_VENV:-$HOME/glam_venv}"
session="glam"

fail() {
  echo "error: $*" >&2
  exit 2
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

carry_out() {
  if [[ -n "$dry_run" ]]; then show "$@"; else "$@"; fi
}

setup() {
  local nfs="" argument jax packages=(tmux python3-pip)
  jax="$(sed -n 's/^jax==/jax[tpu]==/p' requirements.txt)"
  for argument in "$@"; do
    case "$argument" in
      --nfs=?*:/*) nfs="${argument#*=}" ;;
      *) fail "unknown argument '$argument' of setup; expected --nfs=SERVER:/EXPORT" ;;
    esac
  done
  [[ -z "$nfs" ]] || packages+=(nfs-common)
  # A fresh machine may still be updating itself: wait for its lock.
  carry_out sudo apt-get install -y -q -o DPkg::Lock::Timeout=600 "${packages[@]}"
  if [[ -n "$nfs" ]] && { [[ -n "$dry_run" ]] || ! mountpoint -q /shared; }; then
    carry_out sudo mkdir -p /shared
    carry_out sudo mount -t nfs "$nfs" /shared
  fi
  # The image's own Python may be older than ours: uv brings one.
  carry_out env PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --user --quiet uv
  carry_out python3 -m uv venv --quiet --allow-existing --python=3.11 "$venv"
  carry_out python3 -m uv pip install --quiet "--python=$venv/bin/python" -r requirements.txt "$jax"
  carry_out python3 -m uv pip install --quiet "--python=$venv/bin/python" --no-deps -e .
}

running() {
  tmux has-session -t "=$session" 2>/dev/null
}

start() {
  (($#)) || fail "start needs the arguments of glam_jax.train"
  local command=(tmux new-session -d -s "$session" "$(show bash launch/tpu_worker.sh work "$@")")
  if [[ -n "$dry_run" ]]; then
    show "${command[@]}"
    return
  fi
  stop
  mkdir -p "$run"
  rm -f "$run/status"
  echo "== start $(date -u +%FT%TZ)" >>"$run/log"
  "${command[@]}"
}

# Inside tmux: the training itself, to the terminal and the log. What the machine's shutdown sends to
# all must not end the log before the training. The exit status is there as a whole or not at all.
work() {
  local code=0
  # shellcheck disable=SC2016 # expands in the inner shell, whose number the training takes over
  bash -c 'echo "$$" >"$0" && exec "$@"' "$run/pid" \
    "$venv/bin/python" -u -m glam_jax.train --distributed=auto "$@" 2>&1 |
    (trap '' HUP INT TERM && exec tee -a "$run/log") || code="${PIPESTATUS[0]}"
  echo "$code" >"$run/status.part"
  mv "$run/status.part" "$run/status"
}

status() {
  local word
  if [[ ! -e "$run/log" ]]; then
    word="absent"
  elif [[ ! -e "$run/status" ]]; then
    word="lost"
    if running; then word="running"; fi
  elif [[ "$(<"$run/status")" != 0 ]]; then
    word="failed"
  elif awk '/^== start /{asked=0} /stopped on request/{asked=1} END{exit !asked}' "$run/log"; then
    word="stopped"
  else
    word="done"
  fi
  echo "glam-status: $word"
}

# SIGTERM, on which training saves, and after a minute SIGKILL.
stop() {
  running || return 0
  local pid
  pid="$(<"$run/pid")"
  kill -s TERM "$pid" 2>/dev/null || true
  for _ in {1..120}; do
    running || return 0
    sleep 0.5
  done
  kill -s KILL "$pid" 2>/dev/null || true
  tmux kill-session -t "=$session" 2>/dev/null || true
}

dry_run=""
if [[ "${1:-}" == --dry-run ]]; then
  dry_run="yes"
  shift
fi
verb="${1:-}"
case "$verb" in
  setup | start | work)
    shift
    "$verb" "$@"
    ;;
  status | stop) "$verb" ;;
  logs)
    [[ -e "$run/log" ]] || fail "no log in $run; nothing was started here"
    cat "$run/log"
    ;;
  *) fail "'$verb' is none of setup, start, status, logs, stop" ;;
esac
