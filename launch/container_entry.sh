#!/usr/bin/env bash
# The first process of a pod: runs a command, so that a pod that was told to stop does not look done.
#
#     launch/container_entry.sh [--dry-run] COMMAND...
#
# SIGTERM goes on to the command, on which training saves and ends with 0. To Kubernetes that would
# be success; here it becomes 75 ("try again"), on which the JobSet starts all pods anew.
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

if [[ "${1:-}" == --dry-run ]]; then
  shift
  (($#)) || fail "no command"
  printf '%q ' "$@"
  echo "# 75 instead of 0 after SIGTERM"
  exit 0
fi
(($#)) || fail "no command"

asked="" child=""
stop() {
  asked="yes"
  [[ -z "$child" ]] || kill -s TERM "$child" 2>/dev/null || true
}
trap stop TERM
"$@" &
child=$!
# Told so before the number was known.
[[ -z "$asked" ]] || stop
# Not waited for at once: bash would leave `wait` early when a signal comes.
while kill -0 "$child" 2>/dev/null; do
  sleep 0.2 &
  wait "$!" || true
done
status=0
wait "$child" || status=$?
if [[ -n "$asked" ]] && ((status == 0)); then exit 75; fi
exit "$status"
