"""How near training comes to what the machine can do, beside the script that people write by hand.

    python benchmarks/speed.py [--repeats 3] [--images 32] [--size 224] [--freeze 0 80 140 312 345] [--out NAME]

Every repetition measures all rows one after the other, so that ratios hold on a noisy machine; medians are told, with
the lowest and highest. JPEGs of 512 px are made, as many as `--images` in each of three classes. Writes
benchmarks/results/NAME.json and NAME.md; NAME is speed_cpu or speed_gpu.

peak        products of square matrices in the precision of training: operations a second
bare        the same network and optimiser in a loop over batches in memory: the ceiling
frostline   an epoch of `train.py`, its second: files, augmentation, metrics, callbacks, logging, checkpoints included
peer        an epoch of benchmarks/peer.py, its second: Lightning and torchvision as their tutorials teach it, or with
            timm's loader and transforms
validation  the validation of an epoch, beside the bare network without gradients
predict     `frostline predict` of files, read, decoded, answered and written: the same ceiling
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from frostline.config.compose import compose_config
from frostline.config.schema import RunConfig
from frostline.data.datamodule import SliceDataModule
from frostline.inference.network import load_network
from frostline.inference.stream import answer, find_images
from frostline.inference.table import write_answers
from frostline.runs.environment import environment_facts
from frostline.runs.folder import RunFolder
from frostline.training.hardware import Hardware, choose_hardware
from frostline.training.module import FineTuner
from frostline.training.optimizers import build_optimizer
from frostline.training.recipe import alone, prepare_model, train_once

ROOT = Path(__file__).parents[1]
CLASSES = ("benign", "malignant", "normal")
EPOCHS = 2


def make_images(folder: Path, count: int) -> None:
    """Write `count` JPEGs of 512 px for each class: smooth grey with noise, no two alike."""
    random = np.random.default_rng(0)
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for i in range(count):
            small = Image.fromarray(random.integers(0, 200, (16, 16), dtype=np.uint8))
            grey = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC)).astype(np.int16)
            noisy = (grey + random.integers(0, 40, grey.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / label / f"{label[0]}{i:05}.jpg", quality=90)


def options(data: Path, logs: Path, size: int, freeze: int, *more: str) -> list[str]:
    """A run of ResNet101 on the images, unless `more` says otherwise."""
    return [
        *("data=folder", f"data.root={data}", f"logs_dir={logs}", f"data.image_size={size}", f"freeze={freeze}"),
        *("model.weights=null", "logger=csv", "test=false", f"trainer.max_epochs={EPOCHS}", "trainer.progress=false"),
        *("data.split=random", "trainer.keep_state=false", "trainer.limit_val_batches=1", *more),
    ]


def synchronised(hardware: Hardware) -> float:
    """Seconds, when all that was begun is done."""
    if hardware.accelerator == "gpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak(hardware: Hardware) -> float:
    """Operations a second, in units of 1e9, of products of matrices."""
    n = 8192 if hardware.accelerator == "gpu" else 1536
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[hardware.precision]
    a = torch.randn(n, n, device="cuda" if hardware.accelerator == "gpu" else "cpu", dtype=dtype)
    a @ a
    begin, count = synchronised(hardware), 0
    while count < 3 or time.perf_counter() - begin < 2:
        a @ a
        count += 1
        synchronised(hardware)
    return 2 * n**3 * count / (synchronised(hardware) - begin) / 1e9


def bare(config: RunConfig, hardware: Hardware, batches: int, validated: int = 0, *, training: bool = True) -> float:
    """Images a second of training or evaluation steps alone, on batches that lie where they are needed."""
    model = prepare_model(config, len(CLASSES))
    network = model.network.to("cuda" if hardware.accelerator == "gpu" else hardware.accelerator).train(training)
    if hardware.channels_last:
        network.to(memory_format=torch.channels_last)
    o, n, size = config.optimizer, config.data.batch_size, config.data.image_size
    groups = network.learning_rate_groups(o.layer_decay, o.head_factor)
    optimizer = build_optimizer(groups, o.name, o.lr, o.weight_decay, o.options)
    device = next(network.parameters()).device
    images = [torch.rand(n, 1, size, size, device=device) for _ in range(4)]
    targets = torch.randint(len(CLASSES), (n,), device=device)

    def step(i: int) -> None:
        optimizer.zero_grad()
        with hardware.autocast():
            logits = network(images[i % 4])
        torch.nn.functional.cross_entropy(logits.float(), targets).backward()
        optimizer.step()

    def look(i: int) -> None:
        with torch.no_grad(), hardware.autocast():
            network(images[i % 4])

    do = step if training else look
    for i in range(2):  # kernels are chosen in the first
        do(i)
    begin = synchronised(hardware)
    for i in range(batches):
        do(i)
    if training:
        network.eval()
        with torch.no_grad(), hardware.autocast():
            network(images[0][:validated])  # an epoch of the others looks at one batch of validation
    return batches * n / (synchronised(hardware) - begin)


def ours(config: RunConfig, folder: Path) -> float:
    """Images a second of whole epochs, the first left out, in which the images are decoded."""
    train_once(config, folder)
    images = json.loads((folder / "metrics.json").read_text())["train/images"]
    return statistics.median(images / row["seconds"] for row in RunFolder(folder).read_history()[1:])


def validation(config: RunConfig, hardware: Hardware) -> float:
    """Images a second of the validation of an epoch, on the training images, of which there are more."""
    data = SliceDataModule(config.data, config.seed, Path(config.logs_dir) / "cache")
    model = prepare_model(config, len(CLASSES))
    if hardware.channels_last:
        model.network.to(memory_format=torch.channels_last)
    loss, record = torch.nn.CrossEntropyLoss(), {"classes": CLASSES}
    module = FineTuner(model.network, loss, config.optimizer, config.scheduler, config.training, config.seed, record)
    trainer, loader = alone(config, hardware), data.eval_loader("train")
    trainer.validate(module, loader, verbose=False)  # decodes
    begin = synchronised(hardware)
    trainer.validate(module, loader, verbose=False)
    return len(data.labels("train")) / (synchronised(hardware) - begin)


def predict(config: RunConfig, folder: Path, images: Path, hardware: Hardware) -> float:
    """Images a second from files to a written table, of a network as training leaves it."""
    train_once(config, folder)
    network, files = load_network(RunFolder(folder).best_checkpoint), [*find_images([str(images)])]
    begin = synchronised(hardware)
    answers = answer([network], files, lambda *_: None, config.data.batch_size, 0.9)
    write_answers(answers, network.task, folder / "answers.csv", ensemble=False)
    return len(files) / (synchronised(hardware) - begin)


def peer(data: Path, size: int, freeze: int, loader: str = "torchvision") -> float:
    """The same of the script by hand, in a process of its own."""
    script = str(ROOT / "benchmarks" / "peer.py")
    command = [sys.executable, script, str(data), str(size), str(freeze), str(EPOCHS), loader]
    seconds = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return statistics.median(seconds["images"] / s for s in seconds["epochs"][1:])


def rows(args: argparse.Namespace, data: Path, logs: Path) -> Iterator[tuple[str, str, Callable[[], float]]]:
    """What is measured, at which setting, and how."""
    usual = compose_config(options(data, logs, args.size, 0))
    hardware = choose_hardware(usual.trainer)
    yield "peak", str(hardware), lambda: peak(hardware)
    validated = min(usual.data.batch_size, round(0.15 * len(CLASSES) * args.images))
    for freeze in args.freeze:
        config = compose_config(options(data, logs, args.size, freeze, "trainer.frozen_gb=0"))
        kept = compose_config(options(data, logs, args.size, freeze))
        batches = max(1, round(0.7 * len(CLASSES) * args.images) // config.data.batch_size)  # as many as an epoch has
        yield "bare", f"freeze {freeze}", lambda c=config, n=batches: bare(c, hardware, n, validated)  # type: ignore[misc]
        yield "frostline", f"freeze {freeze}", lambda c=config: ours(c, fresh(logs))  # type: ignore[misc]
        if freeze:
            yield "frostline, frozen part kept", f"freeze {freeze}", lambda c=kept: ours(c, fresh(logs))  # type: ignore[misc]
        yield "peer", f"freeze {freeze}", lambda f=freeze: peer(data, args.size, f)  # type: ignore[misc]
    for augment in ("none", "light", "strong"):
        config = compose_config(options(data, logs, args.size, 80, "trainer.frozen_gb=0", f"data.augment={augment}"))
        yield "frostline", f"freeze 80, augment {augment}", lambda c=config: ours(c, fresh(logs))  # type: ignore[misc]
    yield "peer", "freeze 80, timm's loader", lambda: peer(data, args.size, 80, "timm")
    batches = len(CLASSES) * args.images // usual.data.batch_size
    once = compose_config(options(data, logs, args.size, 0, "trainer.fast_dev_run=true"))
    yield "bare", "evaluation", lambda: bare(usual, hardware, batches, training=False)
    yield "validation", "evaluation", lambda: validation(usual, hardware)
    yield "predict", "evaluation", lambda: predict(once, fresh(logs), data, hardware)


def fresh(logs: Path) -> Path:
    """A run folder of its own."""
    return Path(tempfile.mkdtemp(dir=logs, prefix="run-")) / "run"


def table(found: dict[str, list[float]]) -> str:
    """Medians with lowest and highest, and the share of the ceiling at the same setting."""
    lines = ["| | at | images a second | of bare |", "|---|---|---|---|"]
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        what, at = name.split(" @ ")
        ceiling = middle.get(f"bare @ {at.split(',')[0]}")
        share = f"{middle[name] / ceiling:.0%}" if ceiling and what != "bare" else ""
        unit = " G operations" if what == "peak" else ""
        lines.append(f"| {what} | {at} | {middle[name]:.3g}{unit} ({min(values):.3g} to {max(values):.3g}) | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write what was found as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--freeze", type=int, nargs="+", default=[0, 80, 140, 312, 345])
    parser.add_argument("--out", default=f"speed_{'gpu' if torch.cuda.is_available() else 'cpu'}")
    args = parser.parse_args()
    logging.getLogger("frostline").setLevel(logging.WARNING)
    found: dict[str, list[float]] = {}
    facts = environment_facts()
    about = (
        f"`python benchmarks/speed.py {' '.join(sys.argv[1:])}`".replace(" `", "`")
        + f" on {facts['processor']}, {facts['cores']} cores, torch {torch.__version__}."
    )
    with tempfile.TemporaryDirectory() as place:
        data, logs = Path(place) / "data", Path(place) / "logs"
        logs.mkdir()
        make_images(data, args.images)
        for repeat in range(args.repeats):
            for what, at, measure in rows(args, data, logs):
                value = measure()
                found.setdefault(f"{what} @ {at}", []).append(value)
                print(f"{repeat + 1}/{args.repeats}  {what:<28} {at:<28} {value:.3g}", flush=True)
            written: dict[str, Any] = {"about": about, "machine": facts, "found": found}
            results = ROOT / "benchmarks" / "results"
            (results / f"{args.out}.json").write_text(json.dumps(written, indent=1))
            (results / f"{args.out}.md").write_text(f"# Speed\n\n{about}\n\n{table(found)}\n")
    print(table(found))


if __name__ == "__main__":
    main()
