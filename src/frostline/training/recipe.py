"""One run, from top to bottom: data, model, training, one evaluation, the run folder."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from frostline.config.checks import check_patient_score
from frostline.config.schema import RunConfig, UnfreezingConfig
from frostline.data.datamodule import SliceDataModule
from frostline.data.dataset import check_data
from frostline.data.manifest import manifest_csv
from frostline.data.records import UNUSED_COLUMNS
from frostline.errors import ConfigError, FrostlineError, Stopped
from frostline.evaluation.unlike import SIDE, Familiar, fit_familiar
from frostline.files import flat_json, write_csv, write_text
from frostline.installation import PROGRAM
from frostline.models.classifier import BuiltModel, build_model, thumbnails
from frostline.runs.environment import environment_facts
from frostline.runs.finished import task_of
from frostline.runs.folder import RunFolder
from frostline.runs.holdout import name_test_set, record_use
from frostline.runs.model_card import model_card
from frostline.runs.patients import all_by_patient, write_patients
from frostline.runs.predictions import SplitPredictions, write_predictions
from frostline.runs.results import draw_run, evaluate_patients, evaluate_run, run_facts, wanted_of
from frostline.runs.summary import describe_data, describe_model, describe_run, result_table
from frostline.seeding import derive_seed
from frostline.terminal import progress
from frostline.text import duration
from frostline.training.averaging import AveragedWeights
from frostline.training.callbacks import EpochBar, EpochRecorder
from frostline.training.checkpoints import InPlace, checkpoint_record, keep_chosen, load_chosen, usable_checkpoint
from frostline.training.frozen_part import keep_frozen_part
from frostline.training.hardware import PRECISIONS, Hardware, choose_hardware
from frostline.training.module import FineTuner, stages_waiting
from frostline.training.optimizers import build_loss, try_values
from frostline.training.publish import track, track_result
from frostline.training.replicas import Place, replicas
from frostline.training.trackers.interface import Tracker

log = logging.getLogger("frostline")


Prune = Callable[[dict[str, float]], bool]


def never_prune(epoch: dict[str, float]) -> bool:
    """Prune nothing."""
    return False


def train_once(config: RunConfig, run_dir: Path, prune: Prune = never_prune) -> dict[str, Any]:
    """Train one configuration, evaluate the epoch it keeps once, and leave everything in `run_dir`.

    `prune` is asked after every epoch, with its row of the history, whether to stop; a pruned run leaves the test set
    alone. Returns the content of `metrics.json`. A folder of a run that was stopped is gone on with, one of a finished
    run is only read. Raises `FrostlineError` for what a person can mend.
    """
    folder = RunFolder(run_dir)
    if config.trainer.fast_dev_run:
        config = shorten(config)
    had = finished_epochs(config, folder)
    if had:
        log.info(f"goes on after {had} epoch{'s' if had > 1 else ''}")
    elif folder.is_finished:
        if (differs := folder.other_option(config)) is not None:
            raise FrostlineError(f"{run_dir} holds a finished run {differs}: take another folder for this one")
        log.info("%s is finished; its result:\n", run_dir)
        metrics = folder.read_metrics()
        log.info(result_table(metrics, task_of(folder.read_options()), run_dir))
        return metrics

    started = time.monotonic()
    try_values(config.optimizer, config.scheduler)
    task = check_data(config.data)
    config = replace(config, data=replace(config.data, classes=list(task.classes), positive=task.positive))
    check_patient_score(config)
    quiet_libraries()
    hardware = choose_hardware(config.trainer)
    seed = chances_of(config)
    L.seed_everything(seed, workers=True, verbose=False)
    log.info(describe_run(config, run_dir))
    data = SliceDataModule(config.data, seed, Path(config.logs_dir) / "cache", of=config.trainer.devices)
    log.info(describe_data(config, data.data))
    model = prepare_model(config, len(task))
    log.info(describe_model(config, model, str(hardware)))
    # Where the study is says nothing of the run, and may hold a password.
    config = replace(config, trial=replace(config.trial, storage=""))
    folder.claim(replace(config, resume=None), manifest_csv(data.data.examples), finished_epochs=had)
    if had:
        log.info(f"kept    {folder.metrics_after(had).name}: what it had come to")
    write_csv(
        folder.unused, UNUSED_COLUMNS, [(u.path, u.status, u.kind, u.reason) for u in data.data.unused], private=True
    )
    write_text(folder.environment, json.dumps(environment_facts() | {"trained_on": str(hardware)}, indent=2))

    with track(config, folder) as tracker:
        log.info("%-7s %s\n", tracker.label, tracker.place)
        frozen = model.network.frozen_digest()
        last = usable_checkpoint(folder)
        with replicas(run_dir, config.trainer.devices, last) as place:
            module, recorder, trainer = fit(config, folder, model, data, hardware, tracker, prune, last, place)
        if place.of > 1:  # predictions are one process's
            trainer = alone(config, hardware)
        if model.network.frozen_digest() != frozen:
            raise RuntimeError("frozen layers have changed in training: this is a bug in frostline, please report it")

        best_epoch = load_chosen(module, folder.best_checkpoint)
        splits = ("val", "test") if config.test and not recorder.pruned else ("val",)
        with stoppable(run_dir):
            predictions = {split: predict(trainer, module, data, split) for split in splits}
        patients, wanted = all_by_patient(predictions, config.patient_score), wanted_of(config)
        metrics = evaluate_run(predictions, wanted)
        metrics |= evaluate_patients(patients, wanted, config.patient_score)
        seconds = time.monotonic() - started
        metrics |= run_facts(config, model, data.data, recorder.history, recorder.pruned, best_epoch, seconds)
        before = folder.finished_before
        if before:
            metrics["went_on_after_epochs"] = before[-1]
        metrics["frozen/sha256"] = frozen  # of parameters and buffers, the same before and after
        if config.trial.number >= 0:
            metrics |= {"trial": config.trial.number, "objective": metrics[config.trial.objective]}

        familiar = look_at_familiar(module, data, hardware, seed) if "test" in predictions else None
        keep_chosen(folder.best_checkpoint, metrics, predictions["val"], familiar)
        uses = 0
        if "test" in predictions:
            uses = record_use(Path(config.logs_dir), run_dir, name_test_set(data.data.examples), 1 + len(before))
            write_text(folder.model_card, model_card(folder, flat_json(metrics), uses).markdown())
        write_predictions(folder.predictions, predictions)
        write_patients(folder.patient_predictions, patients)
        if config.trial.number < 0 or "test" in predictions:  # half of a small trial's time; the page draws from tables
            draw_run(folder, predictions, metrics, recorder.history)
        track_result(tracker, folder, data.data, predictions, patients, metrics)
        metrics = folder.finish(metrics, keeps_state(config))
    log.info("\n%s", result_table(metrics, task, run_dir, uses))
    return metrics


def keeps_state(config: RunConfig) -> bool:
    """Whether a run keeps, when it is finished, what it takes to give it more epochs."""
    return config.trainer.keep_state and config.trial.number < 0


def finished_epochs(config: RunConfig, folder: RunFolder) -> int:
    """How many epochs a finished run has that is asked for more; 0 for one that is not.

    Raises `FrostlineError` where more epochs would be another training than one with so many from its start.
    """
    if not folder.is_finished or not config.resume:
        return 0
    had = int(folder.read_options()["trainer.max_epochs"])
    if config.trainer.max_epochs <= had:
        return 0
    again = f"start a new run with trainer.max_epochs={config.trainer.max_epochs}"
    if config.scheduler.name in ("cosine", "onecycle") or config.trainer.averaging == "swa":
        what = "trainer.averaging=swa" if config.trainer.averaging == "swa" else f"scheduler={config.scheduler.name}"
        of = f"{had} epoch{'s' if had > 1 else ''}"
        raise FrostlineError(f"{folder.path}: {what} was laid out for {of}, and has come to its end: {again}")
    if usable_checkpoint(folder) is None:
        raise FrostlineError(
            f"{folder.path}: its last.ckpt, the state to go on from, is gone (trials of studies keep none, nor do runs "
            f"with trainer.keep_state=false): {again}"
        )
    return had


def shorten(config: RunConfig) -> RunConfig:
    """One epoch of so many batches, and no test: Lightning's own `fast_dev_run` would leave nothing to evaluate."""
    batches = int(config.trainer.fast_dev_run)
    log.info(
        f"trainer.fast_dev_run: one epoch of {batches} {'batch' if batches == 1 else 'batches'}; it shows that a run "
        "works and nothing else. The table is of all validation images"
    )
    trainer = replace(config.trainer, max_epochs=1, limit_train_batches=batches, limit_val_batches=batches)
    return replace(config, trainer=trainer, test=False)


def chances_of(config: RunConfig) -> int:
    """The seed of all that is drawn in a training: on folds one of its own for each.

    Else the same start would be good or bad luck on all folds alike, which pooling them would not take out.
    """
    folds = config.data.fold, config.data.val_fold
    if folds == (None, None):
        return config.seed
    return derive_seed(config.seed, *(-1 if fold is None else fold for fold in folds))


def prepare_model(config: RunConfig, classes: int) -> BuiltModel:
    """Build the network that `config` describes, to tell apart that many classes."""
    m = config.model
    return build_model(
        name=m.name,
        weights=m.weights,
        freeze=config.freeze,
        freeze_unit=config.freeze_unit,
        classes=classes,
        head_widths=m.head_widths,
        dropout=m.dropout,
        activation=m.activation,
        bn_momentum=m.bn_momentum,
        image_size=config.data.image_size,
    )


def fit(
    config: RunConfig,
    folder: RunFolder,
    model: BuiltModel,
    data: SliceDataModule,
    hardware: Hardware,
    tracker: Tracker,
    prune: Prune,
    last: Path | None,
    place: Place,
) -> tuple[FineTuner, EpochRecorder, L.Trainer]:
    """Train, from the checkpoint `last` on where there is one, alone or with other processes."""
    t = config.trainer
    if hardware.channels_last:
        model.network.to(memory_format=torch.channels_last)
    loss = build_loss(config.loss.name, config.loss.label_smoothing, config.loss.gamma, data.class_weights())
    module = FineTuner(
        model.network,
        loss,
        config.optimizer,
        config.scheduler,
        config.training,
        chances_of(config),
        checkpoint_record(config, model, data.data.task),
    )

    def report(row: dict[str, float], better: bool) -> None:
        epoch = int(row["epoch"]) + 1
        left = sum(r["seconds"] for r in recorder.history[-3:]) / len(recorder.history[-3:]) * (t.max_epochs - epoch)
        log.info(
            f"epoch {epoch:>3}/{t.max_epochs}   train loss {row['train/loss']:.3f} acc {row['train/acc']:.3f}   "
            f"val loss {row['val/loss']:.3f} acc {row['val/acc']:.3f} {'best' if better else '    '}   "
            f"{duration(row['seconds'])}, {duration(left)} left"
        )
        track_epoch(row)

    def resumed(rows: list[dict[str, float]]) -> None:
        for row in rows if tracker.starts_empty else ():
            track_epoch(row)

    def track_epoch(row: dict[str, float]) -> None:
        tracker.log_epoch(int(row["epoch"]), {k: v for k, v in row.items() if k != "epoch"})

    for option, loader in (
        ("limit_train_batches", data.train_dataloader()),
        ("limit_val_batches", data.val_dataloader()),
    ):
        share = getattr(t, option)
        if isinstance(share, float) and int(share * len(loader)) < 1:
            raise ConfigError(f"trainer.{option}={share}: is less than one of {len(loader)} batches")
    if waiting := never_trained(config.training, model, t.max_epochs):
        raise ConfigError(
            f"training.stage_epochs={config.training.stage_epochs}: after trainer.max_epochs={t.max_epochs} {waiting} "
            "of the stages behind freeze would not have trained; take more epochs, fewer for a stage, or freeze them"
        )
    averaged = AveragedWeights(t) if t.averaging != "none" else None
    recorder = EpochRecorder(
        folder, t.monitor, t.patience, t.checkpoint_seconds, report, resumed, prune, averaged, keeps_state(config)
    )
    trainer = L.Trainer(
        max_epochs=t.max_epochs,
        accelerator=hardware.accelerator,
        devices=place.of,
        strategy=place.strategy(hardware, config.training != UnfreezingConfig()),
        sync_batchnorm=place.of > 1 and hardware.accelerator == "gpu",
        use_distributed_sampler=False,  # the loaders know their place
        precision=PRECISIONS[hardware.precision],  # type: ignore[arg-type]  # its names are literals
        gradient_clip_val=t.gradient_clip or None,
        accumulate_grad_batches=t.accumulate_grad_batches,
        limit_train_batches=t.limit_train_batches,
        limit_val_batches=t.limit_val_batches,
        deterministic=t.deterministic,
        callbacks=[*([averaged] if averaged else []), recorder, *([EpochBar()] if t.progress else [])],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[InPlace(), *([LightningEnvironment()] if place.of == 1 else [])],  # SLURM's would requeue the job
        default_root_dir=folder.path,
    )
    if last is not None:
        log.info("going on after the last whole epoch")
    elif folder.read_history():
        log.info("there is nothing to go on from: beginning anew")
    with stoppable(folder.path):
        done = len(folder.read_history()) if last is not None else 0
        if place.of == 1:
            keep_frozen_part(model, data, hardware, t, t.max_epochs - done)
        trainer.fit(module, data, ckpt_path=last, weights_only=True)
    return module, recorder, trainer


def never_trained(config: UnfreezingConfig, model: BuiltModel, epochs: int) -> int:
    """How many stages have parameters to train and would still wait in the last epoch."""
    waiting = stages_waiting(config, len(model.network.stages), epochs - 1)
    parts = model.network.stages[:waiting]
    return sum(any(p.requires_grad for module in stage for p in module.parameters()) for stage in parts)


@contextmanager
def stoppable(run_dir: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C, which Lightning ends by leaving the process."""
    try:
        yield
    except SystemExit:
        raise Stopped(f"stopped; go on with: {PROGRAM} resume={run_dir}") from None


def alone(config: RunConfig, hardware: Hardware) -> L.Trainer:
    """A trainer of this process and its first device."""
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        precision=PRECISIONS[hardware.precision],  # type: ignore[arg-type]  # its names are literals
        deterministic=config.trainer.deterministic,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],
    )


def predict(trainer: L.Trainer, module: FineTuner, data: SliceDataModule, split: str) -> SplitPredictions:
    """What `module` says of every image of a split."""
    batches: Any = trainer.predict(module, data.eval_loader(split))
    probabilities = torch.cat([p for p, _ in batches]).cpu().numpy()
    return SplitPredictions(data.data.task, tuple(data.data.of(split)), probabilities)


def look_at_familiar(module: FineTuner, data: SliceDataModule, hardware: Hardware, seed: int) -> Familiar:
    """What training images look like to the trained network, so that others can be told: of runs that are final."""
    network = module.model.eval()
    device = next(network.parameters()).device
    found = []
    for split in ("train", "val"):
        if split == "train" and not network.cut_is_one:
            data.images(split).keep([])  # kept values are those of training
        features = []
        loader = data.eval_loader(split)
        for (images, _), _ in zip(loader, progress(range(len(loader)), f"features of {split}"), strict=True):
            inputs = images.to(device) if isinstance(images, torch.Tensor) else [v.to(device) for v in images]
            with torch.no_grad(), hardware.autocast():
                features.append(network.features(inputs).float().cpu())
        data.images(split).keep([])
        looks = [thumbnails(images, SIDE) for images, _ in data.eval_loader(split) if isinstance(images, torch.Tensor)]
        found += [torch.cat(features).numpy(), torch.cat(looks).numpy()]
    train, train_looks, val, val_looks = found
    return fit_familiar(train, train_looks, val, val_looks, seed)


def quiet_libraries() -> None:
    """Leave out what a user of frostline cannot act on."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    # Frozen BatchNorm is in eval mode on purpose: Lightning >= 2.5.5 asks whether it should be.
    warnings.filterwarnings("ignore", message=r".*module\(s\) in eval mode at the start of training.*")
    warnings.filterwarnings(
        "ignore", message=r".*isinstance\(treespec, LeafSpec\).*"
    )  # Lightning 2.6.6 calls torch's old name
    # On a cluster: one process trains, whatever started it.
    warnings.filterwarnings("ignore", message=r".*The `srun` command is available.*")
    # Of several processes: metrics are gathered before they are logged.
    warnings.filterwarnings("ignore", message=r".*It is recommended to use `self\.log\(.*sync_dist=True.*")
    # With images in memory, worker processes cost more than they give.
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
