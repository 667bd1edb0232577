"""Speed of `frostline predict` beside bare inference: python benchmarks/predict_speed.py CHECKPOINT IMAGES [ROUNDS].

Files are read, decoded, predicted and written; bare inference is the same network on the same batches, in memory. The
two take turns, so that the ratio holds on a machine that does other things too. Prints images a second, and the median
ratio.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from frostline.data.cache import load_image
from frostline.inference.network import load_network
from frostline.inference.stream import answer, find_images
from frostline.inference.table import write_answers

BATCH, MOST = 16, 96


def main(checkpoint: Path, images: str, rounds: int) -> None:
    """Measure."""
    network = load_network(checkpoint)
    files = [*find_images([images])][:MOST]
    tensors = torch.stack([load_image(file, network.image_size, network.reading) for file in files])
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds + 1):
            started = time.perf_counter()
            with torch.inference_mode():
                for at in range(0, len(files), BATCH):
                    network.network(tensors[at : at + BATCH])
            bare = time.perf_counter() - started
            started = time.perf_counter()
            answers = answer([network], files, lambda *_: None, BATCH, 0.9)
            write_answers(answers, network.task, Path(folder) / "a.csv", ensemble=False)
            whole = time.perf_counter() - started
            if i:  # the first warms up
                ratios.append(bare / whole)
                print(
                    f"bare {len(files) / bare:.1f} images/s, predict {len(files) / whole:.1f}: {bare / whole:.0%}",
                    flush=True,
                )
    middle = statistics.median(ratios)
    print(f"median {middle:.0%} of bare inference, {len(files)} files, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5)
