#!/usr/bin/env bash
# Make every run under results/ anew, in one call, on the GPU if there is one:
#   RCAM_WEIGHTS_DIR=… IMAGENET_ROOT=… VOC_ROOT=… COCO_ROOT=… bash scripts/regenerate_results.sh [OUTPUT]
# A stopped call continues where it was. Runs whose data is not given are left out. On two CPU cores about an hour;
# with SCORECAM=1 Score-CAM on ResNet-50 is judged and timed as well: minutes on a GPU, hours on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-results}

run() { # NAME CONFIG [OPTION]...
  local name=$1 config=$2
  shift 2
  rcam-bench run --config "$config" --output "$output/$name" --set maps=0 "$@"
}

rcam-bench run --config quickstart --output "$output/quickstart"
run synthetic synthetic
python scripts/known_truth.py "$output/synthetic" --output "$output/known_truth"
if [ -n "${IMAGENET_ROOT:-}" ]; then
  fast='methods=[cam, gradcam, reciprocam, {name: reciprocam, mask: gaussian}]'
  run resnet18_imagenet_subset resnet18_imagenet --set "$fast" --set 'protocol=[poppi-2021, recipro-2024]' --set timing=null
  run resnet18_methods resnet18_methods --limit "${METHODS_LIMIT:-20}"
  if [ -n "${SCORECAM:-}" ]; then
    run resnet50_imagenet_scorecam resnet50_imagenet --limit 100 --set 'protocol=[poppi-2021, recipro-2024]' \
      --set timing.repeats=10
  fi
fi
for model in resnet18 resnet50; do
  if [ -n "${VOC_ROOT:-}" ]; then
    run "${model}_voc07_subset" resnet50_voc07 --set "backbone.model=torchvision/$model"
  fi
  if [ -n "${COCO_ROOT:-}" ]; then
    run "${model}_coco17_subset" resnet50_coco14 --set "backbone.model=torchvision/$model" \
      --set "dataset.annotations=${COCO_ANNOTATIONS:-annotations/instances_val2017.json}"
  fi
done
if [ -d "$output/resnet18_imagenet_subset" ]; then
  rcam-bench compare "$output/resnet18_imagenet_subset" --format csv > /dev/null
fi
python scripts/update_readme.py
