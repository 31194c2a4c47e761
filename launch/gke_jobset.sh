#!/usr/bin/env bash
# Training on the TPU slices of a GKE cluster, as a JobSet of the cluster that kubectl points to.
#
#     launch/gke_jobset.sh --name=lifting --image=IMAGE --bucket=gs://robots --topology=4x4 --yes -- \
#         --config=configs/lifting.py
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage="usage: launch/gke_jobset.sh --name=NAME --image=IMAGE --bucket=gs://BUCKET --topology=4x4 [options] -- ARGUMENTS
  ARGUMENTS       of glam_jax.train
  --image=IMAGE   made from launch/Dockerfile.tpu
  --bucket=gs://BUCKET/FOLDER   data are kept in FOLDER/data, the run in FOLDER/runs/NAME, unless
                  ARGUMENTS say otherwise
  --account=NAME  Kubernetes service account that may use the bucket; default default
  --claim=CLAIM   in place of a bucket: a ReadWriteMany volume claim, mounted at /shared in every
                  pod; ARGUMENTS need --workdir=/shared/...
  --topology=AxB  chips of a slice (AxBxC for v4 and v5p)
  --accelerator=A label of the node pool; default tpu-v5-lite-podslice
  --chips=N       chips of a host; default 4
  --slices=N      default 1
  --restarts=N    after which the JobSet has failed; default 50
  --spot          on spot nodes
  --yes           create it, which may make the cluster grow and cost money
  --dry-run       print the command and the manifest"

fail() {
  echo "error: $*" >&2
  exit 2
}

name="" image="" bucket="" account="default" claim="" topology="" accelerator="tpu-v5-lite-podslice" chips="4" slices="1"
restarts="50" spot="" yes="" dry_run="" arguments=()
while (($#)); do
  case "$1" in
    --name=*) name="${1#*=}" ;;
    --image=*) image="${1#*=}" ;;
    --bucket=*) bucket="${1#*=}" ;;
    --account=*) account="${1#*=}" ;;
    --claim=*) claim="${1#*=}" ;;
    --topology=*) topology="${1#*=}" ;;
    --accelerator=*) accelerator="${1#*=}" ;;
    --chips=*) chips="${1#*=}" ;;
    --slices=*) slices="${1#*=}" ;;
    --restarts=*) restarts="${1#*=}" ;;
    --spot) spot="yes" ;;
    --yes) yes="yes" ;;
    --dry-run) dry_run="yes" ;;
    --help | -h)
      echo "$usage"
      exit 0
      ;;
    --)
      shift
      arguments=("$@")
      break
      ;;
    *) fail "unknown argument '$1'; those of glam_jax.train follow after -- (see --help)" ;;
  esac
  shift
done

# label NAME VALUE: fails unless VALUE can name a Kubernetes object.
label() {
  [[ "$2" =~ ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ ]] ||
    fail "$1 is '$2'; expected small letters, digits and dashes, a letter first, at most 40"
}

# whole NAME VALUE LOW: fails unless VALUE is a whole number from LOW.
whole() {
  if ! [[ "$2" =~ ^(0|[1-9][0-9]{0,5})$ ]] || (($2 < $3)); then
    fail "$1 is '$2'; expected a whole number from $3"
  fi
}

label --name "$name"
label --account "$account"
if [[ -n "$bucket" ]]; then
  [[ "$bucket" =~ ^gs://[a-z0-9][a-z0-9._-]+(/[A-Za-z0-9._-]+)*$ ]] ||
    fail "--bucket is '$bucket'; expected gs://BUCKET or gs://BUCKET/FOLDER"
  [[ -z "$claim" ]] || fail "--bucket and --claim are both given; one is enough"
else
  [[ -n "$claim" ]] || fail "--bucket=gs://BUCKET is missing (or --claim=CLAIM, see --help)"
  label --claim "$claim"
fi
label --accelerator "$accelerator"
[[ "$image" =~ ^[A-Za-z0-9][A-Za-z0-9._/:@-]*$ ]] || fail "--image is '$image'; expected an image"
[[ "$topology" =~ ^[1-9][0-9]{0,2}(x[1-9][0-9]{0,2}){1,2}$ ]] ||
  fail "--topology is '$topology'; expected chips such as 4x4 or 2x2x4"
whole --chips "$chips" 1
whole --slices "$slices" 1
whole --restarts "$restarts" 0
all=$((${topology//x/*}))
((all % chips == 0)) || fail "--topology=$topology has $all chips; that is no multiple of --chips=$chips"
config="" workdir="" root=""
for argument in ${arguments[@]+"${arguments[@]}"}; do
  case "$argument" in
    --config=?*) config="yes" ;;
    --config.data.root=?*) root="yes" ;;
    --workdir=/shared/?*) [[ -n "$bucket" ]] || workdir="yes" ;;
    --workdir=gs://?*) workdir="yes" ;;
  esac
done
if [[ -n "$bucket" ]]; then
  [[ -n "$root" ]] || arguments+=("--config.data.root=$bucket/data")
  [[ -n "$workdir" ]] || arguments+=("--workdir=$bucket/runs/$name")
  workdir="yes"
fi
[[ -n "$config" && -n "$workdir" ]] ||
  fail "needs -- --config=FILE, and with --claim --workdir=/shared/FOLDER"

# The command as a YAML list of double-quoted strings.
command="[bash, launch/container_entry.sh, python, -m, glam_jax.train, --distributed=auto"
backslash=$'\\' mark='"'
for argument in "${arguments[@]}"; do
  [[ "$argument" != *[[:cntrl:]]* ]] || fail "an argument of glam_jax.train has a control character"
  argument="${argument//"$backslash"/"$backslash$backslash"}"
  argument="${argument//"$mark"/"$backslash$mark"}"
  command+=", \"$argument\""
done
command+="]"

# The manifest. Each value was checked above to be free of @, but for image and command, which come last.
manifest() {
  local line
  while IFS= read -r line || [[ -n "$line" ]]; do
    case "$line" in
      '#'*) continue ;;
      *'@SPOT@')
        [[ -n "$spot" ]] || continue
        line="${line% # @SPOT@}"
        ;;
      *'@SHARED@')
        [[ -n "$claim" ]] || continue
        line="${line% # @SHARED@}"
        line="${line/@CLAIM@/$claim}"
        ;;
      *@IMAGE@) line="${line%@IMAGE@}$image" ;;
      *@COMMAND@) line="${line%@COMMAND@}$command" ;;
      *)
        line="${line//@NAME@/$name}"
        line="${line//@RESTARTS@/$restarts}"
        line="${line//@SLICES@/$slices}"
        line="${line//@HOSTS@/$((all / chips))}"
        line="${line//@ACCELERATOR@/$accelerator}"
        line="${line//@TOPOLOGY@/$topology}"
        line="${line//@CHIPS@/$chips}"
        line="${line//@ACCOUNT@/$account}"
        ;;
    esac
    printf '%s\n' "$line"
  done <"$here/gke_jobset.yaml"
}

if [[ -n "$dry_run" ]]; then
  echo "kubectl create --filename=- <<'END'"
  manifest
  echo "END"
  exit 0
fi
[[ -n "$yes" ]] || fail "this may cost money: say --yes, or look first with --dry-run"
command -v kubectl >/dev/null || fail "kubectl is not installed; see https://kubernetes.io/docs/tasks/tools"
manifest | kubectl create --filename=-
