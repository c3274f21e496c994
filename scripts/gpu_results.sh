#!/usr/bin/env bash
# Make every figure of a GPU in one call of under nine minutes: times of the paper's pair, the fast pair and the methods at
# batch 1 and 8, the fast pair and a short run in every precision, and compiled; with their distance from float32.
#   RCAM_WEIGHTS_DIR=… IMAGENET_ROOT=… bash scripts/gpu_results.sh [OUTPUT]
# OUTPUT is results/gpu if left out. Without IMAGENET_ROOT the pictures of the package foolbox are explained. WEIGHTS=none
# needs no weights: times are those of the network, maps mean nothing. MINUTES=9 is the most it takes: what does not fit is
# named, and made by the same call again. ARCHIVE=gpu.tar.gz holds all that is done at any time, as one file for the way
# home from a machine that is only lent. TINY=1 tries all of it on a CPU, with a tiny network.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-results/gpu}
bench=(rcam-bench)
if ! command -v rcam-bench > /dev/null; then bench=(python3 -m reciprocam_bench); fi # not installed, but all that it needs is
"${bench[@]}" --version > /dev/null || { echo "rcam-bench does not start here: pip install . first" >&2; exit 1; }
most=$((60 * ${MINUTES:-9} - 15))

backbone="{model: torchvision/resnet50, weights: ${WEIGHTS:-IMAGENET1K_V1}}"
dataset='{name: samples}'
if [ -n "${IMAGENET_ROOT:-}" ]; then dataset='{name: imagenet, root: "${IMAGENET_ROOT}"}'; fi
device=cuda sizes='[1, 8]' budget=15 limit=64 ways='tf32 bfloat16 float16 compiled' preprocess=protocol
if [ -n "${TINY:-}" ]; then
  backbone='{model: timm/test_resnet, weights: none}' device=cpu sizes='[1, 2]' budget=0.1 limit=2 ways=bfloat16
  preprocess=model # smaller images
fi

part() { # NAME VERB CONFIG [OPTION]...
  local name=$1 verb=$2 config=$3
  shift 3
  if [ -f "$output/$name/done" ]; then return; fi
  local left=$((most - SECONDS))
  if [ $left -lt 5 ] || ! timeout -k 5 $left "${bench[@]}" "$verb" --config "$config" --output "$output/$name" --quiet \
    --device $device --set "backbone=$backbone" --set "dataset=$dataset" --set preprocess=$preprocess "$@"; then
    echo "left out: $name" >&2
    return
  fi
  touch "$output/$name/done"
  archive
}

archive() {
  if [ -n "${ARCHIVE:-}" ]; then tar -czf "$ARCHIVE" -C "$output" .; fi
}

timed() { # NAME CONFIG [OPTION]...
  part "$@" --set "timing.batch_size=$sizes" --set timing.repeats=auto --set timing.budget_s=$budget
}

run() { # NAME [OPTION]...
  local name=$1
  shift
  part "$name" run resnet50_imagenet --limit $limit --set timing=null --set maps=0 --set batch_size=auto \
    --set workers=auto --set 'methods=[cam, gradcam, layercam, ablationcam, eigencam, reciprocam]' "$@"
}

rivals='[cam, gradcam, gradcam++, layercam, hirescam, xgradcam, ablationcam, eigencam, reciprocam, reciprocam[mask=gaussian]]'
mkdir -p "$output"
timed fast_pair time recipro_speed_fast
timed methods time recipro_speed_fast --set "methods=$rivals" --set timing.relative_to=gradcam
timed paper_pair time recipro_speed
run short_run
for way in $ways; do
  option="precision=$way"
  if [ "$way" = compiled ]; then option=compile=true; fi
  timed "fast_pair_$way" time recipro_speed_fast --set "$option"
  run "short_run_$way" --set "$option"
done
python3 scripts/gpu_page.py "$output"
archive
echo "written to $output in $SECONDS s"
