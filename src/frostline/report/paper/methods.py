"""What a run can say of its methods, in sentences: a function of plain facts each; empty where it cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from frostline.config.choices import MONITORS
from frostline.data.grouping import METHODS
from frostline.report.paper.facts import PaperFacts
from frostline.report.paper.words import count_images, excluded, frozen, is_known, listed, sizes
from frostline.text import percent

SPLITS_IN_WORDS = {
    "grouped": "drawn by group of images that belong together",
    "copies": "drawn by near copies, so that other images of one patient may stand on two sides",
    "random": "drawn by image, so that images of one group may stand on two sides",
    "folders": "as the data set's folders publish them",
    "table": "as the data set's table says",
    "manifest": "as a manifest says",
}
AUGMENTATIONS_IN_WORDS = {
    "none": "none",
    "flip": "horizontal flips",
    "light": "horizontal flips, rotations to 5 degrees, shifts to 3 %, zoom to 5 %",
    "strong": "horizontal flips, rotations to 15 degrees, shifts to 8 %, zoom to 15 %, brightness, contrast to 15 %",
}


def technology(f: PaperFacts) -> str:
    """What kind of AI it is."""
    network = f"a convolutional network ({f.options['model.name']}), fine-tuned with {frozen(f)}"
    return f"Deep learning: {network}, to tell apart {listed(f.task.classes)} on single slices."


def data_source(f: PaperFacts) -> str:
    """Which data set, and how many images; where it is from is for the author."""
    what = f"Data set {f.options['data.name']}: {count_images(f)}"
    return f"{what}; manifest.csv names every image by its checksum. Where it is from: for the author."


def eligibility(f: PaperFacts) -> str:
    """Which files were used."""
    return f"Every file of a class that can be read as a slice. {excluded(f)} Criteria of the data set: for the author."


def preprocessing(f: PaperFacts) -> str:
    """From a file to what the network sees."""
    o = f.options
    size = f"{o['data.image_size']} x {o['data.image_size']} pixels"
    window = f"{o['data.window_center']:g}, {o['data.window_width']:g} wide"
    return (
        f"One grey channel in 0..1; HU, where files hold it, through a window at {window}; resized to {size}; "
        "normalised in the network as its weights are used to."
    )


def quality(f: PaperFacts) -> str:
    """What is done with files that cannot be used."""
    what = {"stop": "ends the run", "skip": "is left out and listed"}[f.options["data.on_unreadable"]]
    return f"Every file is read and checked for values that a slice can have; one that cannot be read {what}."


def subsets(f: PaperFacts) -> str:
    """Which part of the data set."""
    kinds = f.options["data.dicom_keep"]
    kept = f" DICOM of these kinds was kept too: {listed(kinds)}." if kinds else ""
    return f"All images of the classes {listed(f.task.classes)} that could be read.{kept}"


def missing_data(f: PaperFacts) -> str:
    """What was left out; nothing is ever imputed."""
    return f"Nothing was imputed. {excluded(f)}"


def outcome(f: PaperFacts) -> str:
    """What is predicted."""
    positive = f", of which {f.task.positive} must not be missed" if f.task.positive else ""
    return (
        f"The class of a slice: {listed(f.task.classes)}{positive}, as its folder or table says. How it was assessed: "
        "for the author."
    )


def predictors(f: PaperFacts) -> str:
    """What it is predicted from."""
    return "The pixels of one slice alone; no clinical data."


def assignment(f: PaperFacts) -> str:
    """How the partitions came about."""
    o = f.options
    drawn = ""
    if o["data.split"] in ("grouped", "copies", "random"):
        shares = [f"{100 * o[f'data.{part}_fraction']:g}" for part in ("train", "val", "test")]
        how = f"{listed(shares)} % of every class wanted"
        if o.get("data.fold") is not None:
            how = f"{o['data.folds']} folds: one to test on, the next for validation"
        drawn = f" (seed {o['data.split_seed']}; {how})"
    return f"Partitions are {SPLITS_IN_WORDS[o['data.split']]}{drawn}."


def partitions(f: PaperFacts) -> str:
    """Slices, groups and classes of every partition."""
    fold = " (first fold)" if f.options.get("data.fold") is not None else ""
    chooses = "" if f.options["trainer.monitor"] == "none" else "the epoch, "
    return f"{sizes(f)}{fold}. Validation chooses {chooses}the threshold and, in a search, the settings (tuning)."


def disjoint(f: PaperFacts) -> str:
    """Whether groups stand on two sides, and what they rest on."""
    sides: dict[str, set[str]] = defaultdict(set)
    for e in f.examples:
        sides[e.group].add(e.split)
    across = sum(len(splits) > 1 for splits in sides.values())
    level = f"{across} of {len(sides)} groups stand on two sides" if across else "No group stands on two sides"
    by = {m for e in f.examples for m in e.grouped_by.split("+")}
    rest = "; ".join(words for m, words in METHODS.items() if m in by) or "nothing: every image is one"
    known = sum(is_known(e.grouped_by) for e in f.examples)
    return f"{level}. What groups rest on: {rest}. The patient of {known} of {len(f.examples)} images is known."


def model(f: PaperFacts) -> str:
    """The network, and what of it is frozen."""
    o = f.options
    widths = listed(o["model.head_widths"])
    layers = f"hidden layers of {widths}" if widths else "no hidden layer"
    head = f"{layers} ({o['model.activation']}, dropout {o['model.dropout']:g}), {len(f.task)} outputs"
    stays = f"{percent(float(f.metrics['frozen/parameters']))} of its parameters, BatchNorm statistics too, stay"
    return f"{o['model.name']} without its classifier, {frozen(f)} ({stays}); global average pooling; {head}."


def output(f: PaperFacts) -> str:
    """What the network gives."""
    return f"A probability (softmax) for each of {listed(f.task.classes)}; the class is the most probable one."


def software(f: PaperFacts) -> str:
    """Versions."""
    packages = f.environment.get("packages") or {}
    named = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"Python {f.environment.get('python')}; {named}." if packages else ""


def initialisation(f: PaperFacts) -> str:
    """Where the weights come from."""
    return f"Backbone: {f.metrics['weights']} weights; the head is drawn at random, from the seed."


def training(f: PaperFacts) -> str:
    """Optimiser, rate, loss, epochs."""
    o = f.options
    prefix = "optimizer.options."
    more = "".join(f", {key.removeprefix(prefix)} {value}" for key, value in o.items() if key.startswith(prefix))
    ends = f", fewer when {o['trainer.patience']} bring nothing better" if o["trainer.patience"] else ""
    decay, smoothing = o["optimizer.weight_decay"], o["loss.label_smoothing"]
    return (
        f"{o['optimizer.name']}, learning rate {o['optimizer.lr']:g} ({o['scheduler.name']}), weight decay {decay:g}"
        f"{more}; batches of {o['data.batch_size']}; {o['trainer.max_epochs']} epochs{ends}; loss {o['loss.name']}, "
        f"label smoothing {smoothing:g}; {f.trainings}."
    )


def augmentation(f: PaperFacts) -> str:
    """Random changes of training images."""
    return f"Augmentation of training images: {AUGMENTATIONS_IN_WORDS[f.options['data.augment']]}."


def hardware(f: PaperFacts) -> str:
    """What it was trained on, and how long."""
    on = ", ".join(str(f.environment[key]) for key in ("processor", "trained_on") if f.environment.get(key))
    return f"Trained on {on}; {float(f.metrics['seconds']) / 60:.1f} minutes a run." if on else ""


def selection(f: PaperFacts) -> str:
    """What chose epoch and settings."""
    searched = f"Studies before: {'; '.join(f.searches)}" if f.searches else "No study stands in these logs"
    return f"The epoch kept is {MONITORS[f.options['trainer.monitor']]}. {searched}."


def ensembling(f: PaperFacts) -> str:
    """There is none."""
    return f"None: figures are {'means over networks judged by themselves' if f.seeds > 1 else 'of one network'}."


def metrics(f: PaperFacts) -> str:
    """Names of the metrics."""
    names = "; ".join(label for label, _ in f.figures.values())
    return f"{names[0].upper()}{names[1:]}." if names else ""


def uncertainty(f: PaperFacts) -> str:
    """What intervals rest on."""
    over = ", and over seeds" if f.seeds > 1 else ""
    return f"95 % intervals over groups of images that belong together{over}; methods: docs/evidence.md of frostline."


def imbalance(f: PaperFacts) -> str:
    """What evens out classes, and the recalibration after."""
    how = {
        "none": "None",
        "class_weights": "The loss weighs classes by the inverse of their number",
        "sampler": "Training images are drawn so that classes are equally frequent",
    }[f.options["data.balance"]]
    return f"{how}. Temperature chosen on validation: {float(f.metrics['temperature']):.2f}."


def calculation(f: PaperFacts) -> str:
    """How a prediction comes about."""
    return f"By the network in model.ckpt, with its classes and input size. {preprocessing(f)} Access: for the author."


METHOD_ANSWERS: dict[str, Callable[[PaperFacts], str]] = {
    function.__name__: function
    for function in (
        *(technology, data_source, eligibility, preprocessing, quality, subsets, missing_data, outcome, predictors),
        *(assignment, partitions, disjoint, model, output, software, initialisation, training, augmentation, hardware),
        *(selection, ensembling, metrics, uncertainty, imbalance, calculation),
    )
}
"""By the key that a checklist's file names."""
