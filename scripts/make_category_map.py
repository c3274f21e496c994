"""Map the 1,000 ImageNet-1k classes to PASCAL VOC and COCO object categories by WordNet hypernymy.

ImageNet wnids are WordNet 3.0 noun synset offsets. A class belongs to a category if one of the category's
anchor synsets is the class itself or one of its transitive hypernyms, unless an excluded synset is so too.
The first anchor of a category is the concept itself; further ones add what the data set counts in but
WordNet files elsewhere, or classes whose pictures show the object though their synset means something else.
Quotations are from the VOC annotation guidelines; for COCO, which publishes names only, the name decides.

Usage: python make_category_map.py WORDNET_DICT_DIR OUTPUT.yaml
       (WORDNET_DICT_DIR holds data.noun: /usr/share/wordnet with the Debian package wordnet-base)
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import yaml
from timm.data.imagenet_info import ImageNetInfo

VOC: dict[str, list[str]] = {
    "aeroplane": ["n02691156", "n04552348"],  # airplane; warplane is only a heavier-than-air craft in WordNet
    "bicycle": ["n02834778", "n04482393", "n04509417"],  # "includes tricycles, unicycles"
    "bird": ["n01503061"],
    "boat": ["n04530566"],  # vessel, not boat n02858304: "ships, rowing boats"; brings in submarine and wreck
    "bottle": ["n02876657"],  # brings in jugs, which are large bottles in WordNet
    "bus": ["n02924116"],  # "includes minibus but not trams"
    "car": ["n02958343"],  # vans other than minivan are trucks in WordNet: left out
    "cat": ["n02121808"],  # domestic cat: "not lions etc."
    "chair": ["n03001627"],  # "not stools or benches"
    "cow": ["n02402425"],  # cattle: not water buffalo or bison
    "diningtable": ["n03201208"],  # "only tables for eating at": not desk or pool table
    "dog": ["n02084071"],  # domestic dog: "not wolves etc.", nor dingo, dhole, African hunting dog
    "horse": ["n02374451"],  # no zebra; "ponies, donkeys, mules" have no class
    "motorbike": ["n03790512", "n03791053"],  # "includes mopeds, scooters": WordNet has scooters apart
    "person": [],  # unmapped on purpose: groom, ballplayer and scuba diver do not stand for "person"
    "pottedplant": ["n03991062"],  # flowerpot: its pictures show the plant too
    "sheep": ["n02411705", "n02414578"],  # sheep; wild sheep (bighorn). "Not goats": no ibex
    "sofa": ["n04256520"],
    "train": ["n04468005", "n02959942", "n03684823"],  # train, railway car, locomotive; "excludes trams"
    # "Standalone screens (not laptops)": television set, television system (ImageNet's class of sets),
    # monitor, CRT screen, and desktop computer, whose pictures show its screen.
    "tvmonitor": ["n04405907", "n04404412", "n03782006", "n04152593", "n03180011"],
}

VOC_EXCLUDE = {"car": ["n02701002"]}  # ambulance: "excludes ... emergency vehicles"

COCO: dict[str, list[str]] = {
    "person": VOC["person"],
    "bicycle": ["n02834778"],
    "car": VOC["car"],
    "motorcycle": VOC["motorbike"],
    "airplane": VOC["aeroplane"],
    "bus": VOC["bus"],
    "train": [*VOC["train"], "n04335435"],  # and streetcar: COCO has no nearer category
    "truck": ["n04490091"],  # includes pickup, moving van and police van, all trucks in WordNet
    "boat": VOC["boat"],
    "traffic light": ["n06874185"],
    "fire hydrant": ["n03346898"],
    "stop sign": [],  # no synset; the class street sign (any sign visible from the street) is far wider
    "parking meter": ["n03891332"],
    "bench": ["n02828884"],
    "bird": VOC["bird"],
    "cat": VOC["cat"],
    "dog": VOC["dog"],
    "horse": VOC["horse"],
    "sheep": VOC["sheep"],
    "cow": VOC["cow"],
    "elephant": ["n02503517", "n01871265"],  # and tusker, any tusked mammal: its pictures are of elephants
    "bear": ["n02131653", "n02510455"],  # and giant panda, a bear although WordNet 3.0 has it a procyonid
    "zebra": ["n02391049"],
    "giraffe": ["n02439033"],
    "backpack": ["n02769748"],
    "umbrella": ["n04507155"],
    "handbag": ["n02774152", "n04026417"],  # and purse (for money), whose pictures are mostly of handbags
    "tie": ["n03815615"],  # includes bow and bolo ties
    "suitcase": ["n02773838"],
    "frisbee": ["n03397947"],
    "skis": ["n04228054"],
    "snowboard": ["n04251791"],
    "sports ball": ["n02778669"],  # ball as game equipment
    "kite": ["n03621473"],  # the toy; the class kite is a bird
    "baseball bat": ["n02799175"],
    "baseball glove": ["n02800213"],
    "skateboard": ["n04225987"],
    "surfboard": ["n04363559"],
    "tennis racket": ["n04409806", "n04039381"],  # and racket of any kind, mostly tennis in the pictures
    "bottle": VOC["bottle"],
    "wine glass": ["n04592099", "n03443371"],  # and goblet, a glass with a stem
    # Cup, mug, beer glass (COCO has no nearer category), and the class called cup, whose
    # synset is a punch but whose pictures are of cups.
    "cup": ["n03147509", "n03797390", "n02823750", "n07930864"],
    "fork": ["n03383948"],
    "knife": ["n03623556"],  # brings in cleaver and letter opener
    "spoon": ["n04284002"],
    "bowl": ["n02880940"],
    "banana": ["n07753592"],
    "apple": ["n07739125"],
    "sandwich": ["n07695965"],  # brings in cheeseburger
    "orange": ["n07747607"],
    "broccoli": ["n07714990"],
    "carrot": ["n07730207"],
    "hot dog": ["n07697537"],
    "pizza": ["n07873807"],
    "donut": ["n07639069"],
    "cake": ["n07628870"],
    "chair": VOC["chair"],
    "couch": VOC["sofa"],
    "potted plant": VOC["pottedplant"],
    "bed": ["n02818832"],  # not baby beds (bassinet, cradle, crib), which are apart in WordNet
    "dining table": VOC["diningtable"],
    "toilet": ["n04446521", "n04447861"],  # and toilet seat, a part, but its pictures show toilets
    "tv": VOC["tvmonitor"],  # COCO labels computer monitors tv
    "laptop": ["n03642806", "n03832673"],  # laptop, notebook; not their hypernym, which has hand-helds too
    "mouse": ["n03793489"],  # computer mouse
    "remote": ["n04074963"],
    "keyboard": ["n03085013"],  # computer keyboard: not those of typewriters
    "cell phone": ["n02992529"],
    "microwave": ["n03761084"],
    "oven": ["n03862676", "n04330267"],  # and stove: COCO labels kitchen ranges oven
    "toaster": ["n04442312"],
    "sink": ["n04223580", "n04553703"],  # and washbasin, a vessel in WordNet
    "refrigerator": ["n04070727"],
    "book": ["n02870092", "n06596364", "n07248320"],  # and comic book (a magazine), book jacket (shows books)
    "clock": ["n03046257"],  # not watches, sundial, hourglass
    "vase": ["n04522168"],
    "scissors": ["n04148054"],
    "teddy bear": ["n04399382"],
    "hair drier": ["n03483316"],
    "toothbrush": ["n04453156"],
}

COCO_EXCLUDE = {
    "truck": ["n03770679"],  # minivan: a van, hence a truck, in WordNet, but also a car
    "sports ball": ["n04023962"],  # punching bag
    "sandwich": ["n07697537"],  # hot dog has its own category
    "oven": ["n03259280"],  # Dutch oven: its pictures are of cooking pots
}

HEADER = """\
# ImageNet-1k class indices of the PASCAL VOC and COCO object categories, made by make_category_map.py, which
# explains every choice. A class belongs to a category if one of the anchor synsets is the class itself or a
# transitive hypernym of it in WordNet 3.0, less a few exclusions listed in the script. Categories without an
# ImageNet class have an empty list; person is left unmapped on purpose.
# Source: WordNet 3.0, Copyright 2006 by Princeton University, https://wordnet.princeton.edu
"""


def read_hypernyms(data_noun: Path) -> dict[str, list[str]]:
    """Return the direct (class and instance) hypernyms of every noun synset, as wnids."""
    hypernyms = {}
    for line in data_noun.read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):  # the licence text at the top is indented
            fields = line.split(" | ")[0].split()
            parents = [f"n{offset}" for symbol, offset in pairwise(fields) if symbol in ("@", "@i")]
            hypernyms[f"n{fields[0]}"] = parents
    return hypernyms


def lineage(wnid: str, hypernyms: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the synset itself and all its transitive hypernyms."""
    return {wnid}.union(*(lineage(parent, hypernyms) for parent in hypernyms[wnid]))


def members(anchors: Sequence[str], exclude: Sequence[str], lineages: Sequence[set[str]]) -> list[int]:
    """Return the sorted indices of the classes below an anchor and not below an excluded synset."""
    return [i for i, up in enumerate(lineages) if not up.isdisjoint(anchors) and up.isdisjoint(exclude)]


def render(anchors: Mapping[str, list[str]], exclude: Mapping[str, list[str]], lineages: Sequence[set[str]]) -> str:
    """Return the YAML of one data set's categories, one a line."""
    lines = []
    for name, wnids in anchors.items():
        entry = {"anchors": wnids, "classes": members(wnids, exclude.get(name, []), lineages)}
        flow = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=float("inf"))
        lines.append(f"  {name}: {flow}")
    return "".join(lines)


def main() -> None:
    """Write the category map of both data sets."""
    parser = argparse.ArgumentParser(description="Map ImageNet-1k classes to VOC and COCO categories.")
    parser.add_argument("wordnet", type=Path, help="WordNet 3.0 database folder, the one with data.noun")
    parser.add_argument("output", type=Path, help="YAML file to write")
    args = parser.parse_args()
    hypernyms = read_hypernyms(args.wordnet / "data.noun")
    lineages = [lineage(wnid, hypernyms) for wnid in ImageNetInfo("imagenet-1k").label_names()]
    voc = render(VOC, VOC_EXCLUDE, lineages)
    coco = render(COCO, COCO_EXCLUDE, lineages)
    args.output.write_text(f"{HEADER}voc:\n{voc}coco:\n{coco}", encoding="utf-8")


if __name__ == "__main__":
    main()
