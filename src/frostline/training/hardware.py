"""What the machine is good at: the numbers and the memory layout to train with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from frostline.config.schema import TrainerConfig
from frostline.errors import ConfigError

# our name: Lightning's, and torch's for the line that is printed
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class Hardware:
    """Where and how to train: `accelerator` cpu, gpu or mps; `precision` a key of `PRECISIONS`."""

    accelerator: str
    precision: str
    channels_last: bool
    threads: int

    def autocast(self) -> torch.autocast:
        """The numbers that a training step computes in, for what is computed outside of one."""
        device = "cuda" if self.accelerator == "gpu" else self.accelerator
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        return torch.autocast(device, dtype, enabled=self.precision != "float32")

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        where = (
            f"cpu, {self.threads} threads"
            if self.accelerator == "cpu"
            else torch.cuda.get_device_name()
            if self.accelerator == "gpu"
            else self.accelerator
        )
        return f"{self.precision}, {layout}, on {where}"


def count_gpus() -> int:
    """How many GPUs CUDA has here."""
    return torch.cuda.device_count()


def choose_hardware(config: TrainerConfig) -> Hardware:
    """Fill in what `config` leaves at auto, and set torch's threads. Raises `ConfigError` for what is not there."""
    there = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    accelerator = config.accelerator
    if accelerator == "auto":
        accelerator = next(name for name in ("gpu", "mps", "cpu") if there[name])
    if not there.get(accelerator):
        have = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(f"trainer.accelerator={accelerator}: not on this machine, which has {have}")
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(accelerator) else "float32"
    if precision not in PRECISIONS or (precision == "float16" and accelerator == "cpu"):
        raise ConfigError(f"trainer.precision={config.precision}: must be auto, float32, bfloat16, or on a GPU float16")
    count = count_gpus() if accelerator == "gpu" else 1
    if accelerator != "cpu" and config.devices > count:
        raise ConfigError(f"trainer.devices={config.devices}: {accelerator} is there {count} times")
    if config.threads or config.devices > 1:
        torch.set_num_threads(config.threads or max(1, torch.get_num_threads() // config.devices))
    channels_last = config.memory_format == "channels_last" or (config.memory_format == "auto" and accelerator != "mps")
    return Hardware(accelerator, precision, channels_last, torch.get_num_threads())


def _has_bfloat16(accelerator: str) -> bool:
    """Natively: emulated, it is ten times slower than float32."""
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if accelerator == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))
    return False
