"""Train, choose the best epoch on validation, evaluate once on test: `python train.py`, options with `--help`."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from frostline.compose import TRUSTED, check_flags, load_config, readable_errors, register_schema

register_schema()


@hydra.main(config_path="conf", config_name="config", execution_whitelist=TRUSTED)
@readable_errors()
def main(cfg: DictConfig) -> float:
    """Run one configuration; the value returned is what a search maximises."""
    config = load_config(cfg)
    from frostline.training import train_once  # torch takes seconds to import: after the options are checked

    return float(train_once(config, run_dir=Path(HydraConfig.get().runtime.output_dir))["val/acc"])


if __name__ == "__main__":
    with readable_errors():
        check_flags(sys.argv[1:])
        main()
