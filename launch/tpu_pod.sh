#!/usr/bin/env bash
# Training on a TPU pod that is had through queued resources, spot capacity included.
#
#     launch/tpu_pod.sh create --name=pod --zone=us-west4-a --type=v5litepod-16 --spot --yes
#     launch/tpu_pod.sh setup  --name=pod --zone=us-west4-a
#     launch/tpu_pod.sh run    --name=pod --zone=us-west4-a --bucket=gs://robots -- \
#         --config=configs/lifting.py
#     launch/tpu_pod.sh logs | watch | delete ...
#
# watch does all of it, again whenever the capacity was taken: see docs/scaling.md.
set -euo pipefail

usage="usage: launch/tpu_pod.sh create|setup|run|logs|watch|delete --name=NAME --zone=ZONE [options]
  create  ask for the pod; needs --type=TYPE and --yes
  setup   copy the last commit to all workers and install it
  run     -- ARGUMENTS of glam_jax.train: start it on all workers, each in tmux with a log of its own
  logs    the last 50 lines of each worker, or all of them as --fetch=DIR/WORKER.log
  watch   -- ARGUMENTS of glam_jax.train: create, set up, run; start again what was preempted, until
          it is done or failed --max-restarts=N times (default 5). Needs --type=TYPE and --yes
  delete  give the pod back, with all that is on its disks; needs --yes
where data and runs are kept:
  --bucket=gs://BUCKET/FOLDER  of run and watch: data in FOLDER/data, the run in FOLDER/runs/NAME,
          unless ARGUMENTS say otherwise
  --nfs=SERVER:/EXPORT  of setup and watch, in place of a bucket: mounted at /shared
options: --project=P  --runtime=VERSION (default by type)  --spot  --interval=SECONDS of watch (60)
  --delete-when-done of watch  --yes (costs money, or deletes)  --dry-run (print the commands)"

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

name="" zone="" project="" type="" runtime="" bucket="" nfs="" fetch="" spot="" yes="" dry_run=""
interval="60" max_restarts="5" delete_when_done="" arguments=()

verb="${1:-}"
case "$verb" in
  create | setup | run | logs | watch | delete) shift ;;
  --help | -h)
    echo "$usage"
    exit 0
    ;;
  *) fail "'$verb' is none of create, setup, run, logs, watch, delete (see --help)" ;;
esac
while (($#)); do
  case "$1" in
    --name=*) name="${1#*=}" ;;
    --zone=*) zone="${1#*=}" ;;
    --project=*) project="${1#*=}" ;;
    --type=*) type="${1#*=}" ;;
    --runtime=*) runtime="${1#*=}" ;;
    --bucket=*) bucket="${1#*=}" ;;
    --nfs=*) nfs="${1#*=}" ;;
    --fetch=*) fetch="${1#*=}" ;;
    --interval=*) interval="${1#*=}" ;;
    --max-restarts=*) max_restarts="${1#*=}" ;;
    --spot) spot="yes" ;;
    --delete-when-done) delete_when_done="yes" ;;
    --yes) yes="yes" ;;
    --dry-run) dry_run="yes" ;;
    --)
      shift
      arguments=("$@")
      break
      ;;
    *) fail "unknown argument '$1'; those of glam_jax.train follow after -- (see --help)" ;;
  esac
  shift
done

# check: what the verb needs is there and has the right form.
check() {
  local number argument config="" workdir="" root=""
  [[ "$name" =~ ^[a-z]([a-z0-9-]{0,60}[a-z0-9])?$ ]] ||
    fail "--name is '$name'; expected small letters, digits and dashes, a letter first"
  [[ "$zone" =~ ^[a-z]+-[a-z]+[0-9]+-[a-z]$ ]] ||
    fail "--zone is '$zone'; expected a zone such as us-west4-a"
  [[ -z "$nfs" || "$nfs" =~ ^[A-Za-z0-9.-]+:/[A-Za-z0-9._/-]*$ ]] ||
    fail "--nfs is '$nfs'; expected SERVER:/EXPORT"
  [[ -z "$bucket" || "$bucket" =~ ^gs://[a-z0-9][a-z0-9._-]+(/[A-Za-z0-9._-]+)*$ ]] ||
    fail "--bucket is '$bucket'; expected gs://BUCKET or gs://BUCKET/FOLDER"
  [[ -z "$bucket" || -z "$nfs" ]] || fail "--bucket and --nfs are both given; one is enough"
  for number in "$interval" "$max_restarts"; do
    [[ "$number" =~ ^(0|[1-9][0-9]{0,5})$ ]] ||
      fail "'$number' is no whole number; --interval and --max-restarts take one"
  done
  if [[ "$verb" == create || "$verb" == watch ]]; then
    [[ "$type" =~ ^v[0-9][a-z]*-[0-9]+$ ]] ||
      fail "--type is '$type'; expected an accelerator type such as v5litepod-16"
    [[ -n "$runtime" ]] || runtime="$(runtime_of "$type")"
  fi
  if [[ "$verb" == run || "$verb" == watch ]]; then
    for argument in ${arguments[@]+"${arguments[@]}"}; do
      case "$argument" in
        --config=?*) config="yes" ;;
        --config.data.root=?*) root="yes" ;;
        --workdir=/* | --workdir=gs://?*) workdir="yes" ;;
      esac
    done
    if [[ -n "$bucket" ]]; then
      [[ -n "$root" ]] || arguments+=("--config.data.root=$bucket/data")
      [[ -n "$workdir" ]] || arguments+=("--workdir=$bucket/runs/$name")
      workdir="yes"
    fi
    [[ -n "$config" && -n "$workdir" ]] ||
      fail "$verb needs --bucket=gs://BUCKET -- --config=FILE, or -- --config=FILE --workdir=/FOLDER," \
        "a folder that all workers see"
  elif ((${#arguments[@]})); then
    fail "$verb takes no arguments after --"
  fi
}

# The software that Google names for a type; JAX itself is installed by `setup`.
runtime_of() {
  case "$1" in
    v6e-*) echo "v2-alpha-tpuv6e" ;;
    v5p-*) echo "v2-alpha-tpuv5" ;;
    v5litepod-*) echo "v2-alpha-tpuv5-lite" ;;
    v[234]-*) echo "tpu-ubuntu2204-base" ;;
    *) fail "no software version known for --type=$1; give --runtime=VERSION" ;;
  esac
}

check
if [[ "$verb" == create || "$verb" == watch || "$verb" == delete ]]; then
  if [[ -z "$yes$dry_run" ]]; then
    fail "$verb costs money or deletes: say --yes, or look first with --dry-run"
  fi
fi
[[ -n "$dry_run" ]] || command -v gcloud >/dev/null ||
  fail "gcloud is not installed; see https://cloud.google.com/sdk/docs/install"

place=("--zone=$zone")
[[ -z "$project" ]] || place+=("--project=$project")
queued=(gcloud compute tpus queued-resources)
worker="bash glam_jax/launch/tpu_worker.sh"

create() {
  local command=("${queued[@]}" create "$name" "--node-id=$name" "--accelerator-type=$type")
  command+=("--runtime-version=$runtime" "${place[@]}")
  [[ -z "$spot" ]] || command+=(--spot)
  carry_out "${command[@]}"
}

delete() {
  carry_out "${queued[@]}" delete "$name" "${place[@]}" --force --quiet
}

# on_all COMMAND [OPTION...]: a shell command on every worker.
on_all() {
  local line="$1"
  shift
  carry_out gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --worker=all "--command=$line" "$@"
}

setup() {
  local archive="glam_jax.tar.gz" folder="" code=0
  if [[ -z "$dry_run" ]]; then
    folder="$(mktemp -d)"
    archive="$folder/$archive"
    [[ -z "$(git status --porcelain)" ]] ||
      echo "changes that are not committed stay here: setup copies the last commit" >&2
  fi
  local unpack="rm -rf glam_jax && mkdir glam_jax && tar -xzf glam_jax.tar.gz -C glam_jax"
  { carry_out git archive --format=tar.gz "--output=$archive" HEAD &&
    carry_out gcloud compute tpus tpu-vm scp "$archive" "$name:glam_jax.tar.gz" "${place[@]}" --worker=all &&
    on_all "$unpack && $worker setup${nfs:+ --nfs=$nfs}"; } || code=$?
  [[ -z "$folder" ]] || rm -rf "$folder"
  return "$code"
}

run() {
  on_all "$worker start $(show "${arguments[@]}")"
}

logs() {
  if [[ -n "$fetch" ]]; then
    carry_out mkdir -p "$fetch"
    on_all "$worker logs" "--output-directory=$fetch"
  else
    on_all "echo == \$(hostname) && $worker logs | tail -n 50"
  fi
}

# state: of the request, NONE if there is none, UNKNOWN if it cannot be had now.
state() {
  local found
  if found="$("${queued[@]}" describe "$name" "${place[@]}" "--format=value(state.state)" 2>&1)"; then
    echo "$found" | tail -n 1
  elif [[ "$found" == *NOT_FOUND* ]]; then
    echo NONE
  else
    echo "$found" >&2
    echo UNKNOWN
  fi
}

# progress: the worst of what the workers say of themselves; unreachable if one does not answer.
progress() {
  local said word
  if said="$(on_all "$worker status || echo glam-status: absent" 2>/dev/null)"; then
    for word in absent failed lost stopped running "done"; do
      if [[ "$said" == *"glam-status: $word"* ]]; then
        echo "$word"
        return
      fi
    done
  fi
  echo unreachable
}

explain_watch() {
  echo "every $interval s:"
  show "${queued[@]}" describe "$name" "${place[@]}" "--format=value(state.state)"
  echo "if there is none:"
  create
  echo "if it is SUSPENDED (preempted) or FAILED:"
  delete
  create
  echo "if it is ACTIVE and not set up:"
  setup
  run
  echo "if it is ACTIVE and the training was stopped, lost or failed:"
  run
  if [[ -n "$delete_when_done" ]]; then
    echo "once the training is done:"
    delete
  fi
}

failures=0
# count_failure WHAT: gives up after too many.
count_failure() {
  failures=$((failures + 1))
  if ((failures > max_restarts)); then
    echo "error: $1, $failures times; the pod may still cost money:" >&2
    show launch/tpu_pod.sh delete "--name=$name" "${place[@]}" --yes >&2
    exit 1
  fi
}

# One look at an ACTIVE pod. Returns 1 once the training is done.
tend() {
  local now
  now="$(progress)"
  echo "$(date -u +%FT%TZ) $name: training $now"
  case "$now" in
    done) return 1 ;;
    absent) { setup && run; } || count_failure "setting up failed" ;;
    stopped | lost) run || count_failure "starting failed" ;;
    failed)
      count_failure "the training failed, see launch/tpu_pod.sh logs"
      run || true
      ;;
  esac
}

watch() {
  if [[ -n "$dry_run" ]]; then
    explain_watch
    return
  fi
  local now
  while true; do
    now="$(state)"
    case "$now" in
      ACTIVE) tend || break ;;
      NONE) create || count_failure "the request was refused" ;;
      SUSPENDED | FAILED)
        echo "$(date -u +%FT%TZ) $name: $now, asked for anew"
        [[ "$now" == SUSPENDED ]] || count_failure "the request failed"
        { delete && create; } || count_failure "asking anew failed"
        ;;
      *) echo "$(date -u +%FT%TZ) $name: $now" ;;
    esac
    sleep "$interval"
  done
  if [[ -n "$delete_when_done" ]]; then
    delete
  else
    echo "done; the pod still costs money:"
    show launch/tpu_pod.sh delete "--name=$name" "${place[@]}" --yes
  fi
}

"$verb"
