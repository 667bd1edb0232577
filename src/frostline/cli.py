"""`frostline ...`: the whole study, and what one looks up; each command a few lines over the library."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from frostline.config.compose import compose_config
from frostline.config.messages import address_of, quote_override, readable_errors
from frostline.config.schema import SearchConfig
from frostline.errors import ConfigError, FrostlineError
from frostline.installation import CONF_DIR, versions

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

ConfigDir = Annotated[Path | None, typer.Option(help="your own choices, a directory like conf/, as for train.py")]
STORAGE = "database of the studies, or the $VARIABLE that holds its address; default: studies.db in the folder of logs"


def main() -> None:
    """Entry point."""
    with readable_errors():
        app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(versions())
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and leave")
    ] = False,
) -> None:
    """frostline finds how deep to freeze. A run is `python train.py`; here are whole studies and look-ups."""


@app.command()
def layers(
    model: Annotated[str, typer.Argument(help="torchvision's name of a backbone, e.g. resnet101")] = "resnet101",
    freeze: Annotated[
        int | None, typer.Option(help="number of first layers to freeze; default: the model's own")
    ] = None,
    freeze_unit: Annotated[str, typer.Option(help="layer, weighted or stage")] = "layer",
    image_size: Annotated[int, typer.Option(min=32, help="pixels a side, for the multiply-adds")] = 224,
    every_layer: Annotated[bool, typer.Option("--all", help="a row for every layer, not for every stage")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs, every layer")] = False,
) -> None:
    """What the first N layers of a backbone are. Their share of the whole, and a table."""
    from frostline.models.backbones import build_backbone
    from frostline.models.inventory import inventory_json, inventory_text, take_inventory

    if freeze_unit not in ("layer", "weighted", "stage"):
        raise ConfigError(f"--freeze-unit={freeze_unit}: must be one of layer, weighted, stage")
    net, _ = build_backbone(model)
    frozen = _default_freeze(model, freeze_unit) if freeze is None else freeze
    inventory = take_inventory(model, net, freeze_unit, frozen, image_size)
    print(json.dumps(inventory_json(inventory), indent=2) if as_json else inventory_text(inventory, every_layer))


@app.command()
def data(
    source: Annotated[
        str, typer.Argument(help="folder with the classes, a table of files, or phantom for the embedded data set")
    ] = "phantom",
    overrides: Annotated[
        list[str] | None, typer.Argument(help="options as for train.py, e.g. data.split=random")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="page to write; default: data-NAME.html in logs")] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="what the network sees, and a test of shortcuts, in one page")
    ] = True,
) -> None:
    """What a data set holds, before training. Patients, copies, groups, the split, and a page with what is seen."""
    config = compose_config([*_options_of_folder(source), *(overrides or [])])
    from frostline.data.audit import audit_data
    from frostline.data.audit_text import audit_text
    from frostline.report.data_page import picture_data

    audit = audit_data(config.data, Path(config.logs_dir) / "cache")
    text = audit_text(audit, config.data)
    print(text, flush=True)
    if page:
        file = out or Path(config.logs_dir) / f"data-{audit.scan.root.name}.html"
        print("\n".join(picture_data(audit, text, config, file)))
    if audit.split is None:
        raise FrostlineError("no split can be drawn: the reason stands above")


@app.command()
def slices(
    source: Annotated[Path, typer.Argument(help="volume file, or folder with DICOM series or volume files, any depth")],
    folder: Annotated[Path, typer.Argument(help="folder to fill, of one class: missing or empty")],
    every: Annotated[int, typer.Option(min=1, help="write each n-th slice")] = 1,
    start: Annotated[float | None, typer.Option("--from", help="mm above the lowest slice of its series")] = None,
    stop: Annotated[float | None, typer.Option("--to", help="mm above the lowest slice of its series")] = None,
    min_slices: Annotated[int, typer.Option(min=2, help="leave out series with fewer")] = 5,
    patient_pattern: Annotated[
        str | None, typer.Option(help="regular expression on the path below SOURCE; its first group names the patient")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="kind of DICOM to write too, as data.dicom_keep; may be repeated")
    ] = None,
    skip_refused: Annotated[bool, typer.Option("--skip-refused", help="leave out series that are refused")] = False,
) -> None:
    """Axial slices of CT volumes, ready to train on. DICOM, NIfTI, MetaImage, NRRD to PNG that keep their HU."""
    from frostline.data.volumes.findings import Choice
    from frostline.data.volumes.write import write_slices, written_text

    chosen = Choice(every, start, stop, min_slices, tuple(keep or ()))
    print(written_text(write_slices(source, folder, chosen, patient_pattern, skip_refused)))


@app.command()
def study(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="a folder with the classes, and options as for train.py")
    ] = None,
    name: Annotated[
        str, typer.Option(help="of the study; its steps are NAME-phase1, NAME-phase2, NAME-final")
    ] = "study",
    seeds: Annotated[int, typer.Option(min=1, help="repeats of the final training")] = 3,
    trials: Annotated[int | None, typer.Option(min=1, help="of phase 1; default: as conf/hparams_search says")] = None,
    depths: Annotated[str | None, typer.Option(help="of phase 2, e.g. 0,40,80; default: range(10,150,10)")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="seeds of every depth in phase 2; with one nothing is shown")] = 2,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="folds of all images outside the test set, on which both phases score; 0: one split; default: 5 where "
            "a class has fewer than 10 groups in validation",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0, max=0.5, help="how far behind the best a depth may be and still be no worse, 0..1")
    ] = SearchConfig.margin,
    config_dir: ConfigDir = None,
) -> None:
    """Both phases, final training, one test. Call it again and it goes on where it was."""
    from frostline.search.protocol import Phases, run_protocol

    given, logs_dir = _study_options(overrides, config_dir)
    if folds == 1:
        raise ConfigError("--folds 1: one fold is all images; give 0 for one split, or 2 and more")
    raise typer.Exit(run_protocol(name, given, Phases(seeds, trials, depths, repeats, margin, folds), logs_dir))


@app.command()
def plan(
    target: Annotated[
        str | None, typer.Argument(help="folder of logs, a study's folder, or its name: its variances are taken")
    ] = None,
    patients: Annotated[int, typer.Option(min=3, help="that depths are judged on")] = 20,
    images: Annotated[float, typer.Option(min=1, help="of a patient")] = 10,
    accuracy: Annotated[float, typer.Option(min=0.01, max=0.99, help="expected")] = 0.9,
    correlation: Annotated[float, typer.Option(min=0, max=1, help="of right and wrong within a patient")] = 0.3,
    agreement: Annotated[float, typer.Option(min=0, max=1, help="of right and wrong between two depths")] = 0.5,
    seed_agreement: Annotated[float, typer.Option(min=0, max=1, help="the same between two seeds of one depth")] = 0.6,
    seed_spread: Annotated[float, typer.Option(min=0, max=1, help="standard deviation between seeds, 0..1")] = 0.015,
    depths: Annotated[int, typer.Option(min=2, help="number of depths")] = 14,
    seeds: Annotated[int, typer.Option(min=2, help="of each depth")] = 3,
    margin: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.5, help="how far behind is still no worse, 0..1; default: the study's, or 0.02"),
    ] = None,
    storage: Annotated[str | None, typer.Option(help=STORAGE)] = None,
) -> None:
    """What a study can show. By the variances of one that was run (--margin alone counts), or by what you expect."""
    if target is not None:
        from frostline.report.collect import collect
        from frostline.report.plan import plan_of_studies

        print(plan_of_studies(collect(target, address_of(storage)), margin))
        return
    from frostline.evaluation.power import Assumptions
    from frostline.report.plan import plan_text

    if seed_agreement < agreement:
        raise ConfigError(
            f"--seed-agreement={seed_agreement:g}: seeds of one depth agree as much as depths do, or more"
        )
    assumed = Assumptions(accuracy, images, correlation, agreement, seed_agreement, seed_spread, depths, seeds)
    print(plan_text(assumed, patients, SearchConfig.margin if margin is None else margin))


@app.command("leak-gap")
def leak_gap(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="a folder with the classes, and options as for train.py, e.g. freeze=80")
    ] = None,
    name: Annotated[str, typer.Option(help="of the study")] = "leak-gap",
    seeds: Annotated[int, typer.Option(min=1, help="repeats on each split")] = 3,
    config_dir: ConfigDir = None,
) -> None:
    """How much better leaking splits seem. Trains and tests by image, by near copies and by patient."""
    from frostline.search.protocol import run_multirun

    given, logs_dir = _study_options(overrides, config_dir)
    fixed = [
        f"logs_dir={logs_dir}",
        f"study={name}",
        "data.split=random,copies,grouped",
        f"seed=range({seeds})",
        "test=true",
    ]
    code = run_multirun([*given, *fixed])
    if code:
        raise typer.Exit(code)
    from frostline.report.collect import collect
    from frostline.report.compare import gap_text
    from frostline.report.configurations import configurations, leak_gaps

    for gap in leak_gaps(configurations(collect(f"{logs_dir}/{name}").runs)):
        print(gap_text(gap))


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="folders of runs on the same images, or of studies: all runs in them")
    ],
    split: Annotated[str, typer.Option(help="test, or val for runs that left the test set alone")] = "test",
    networks: Annotated[
        bool, typer.Option("--networks", help="compare trained networks, also where they differ in seed or fold alone")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs, with every image")] = False,
) -> None:
    """Whether one is really better. Single runs, or configurations of several seeds and folds, on the same images."""
    if split not in ("test", "val"):
        raise ConfigError(f"--split={split}: must be test or val")
    from frostline.report.compare import compare_json, compare_runs, compare_text
    from frostline.report.compare_configurations import (
        compare_groups,
        configurations_json,
        configurations_text,
        expand,
        group_runs,
    )
    from frostline.runs.finished import read_run

    results = [read_run(folder) for folder in expand(runs)]
    groups = group_runs(results)
    if not networks and len(groups) < len(results):
        compared, of_groups, left_out = compare_groups(groups, split)
        if as_json:
            print(json.dumps(configurations_json(compared, of_groups, split), indent=2))
        else:
            print(configurations_text(compared, of_groups, split, left_out))
        return
    pairs = compare_runs(results, split)
    if as_json:
        print(json.dumps(compare_json(results, pairs, split), indent=2))
    else:
        print(compare_text(results, pairs, split))


@app.command()
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="CSV of predictions: path, true, p_CLASS for each class, patient, model")
    ],
    positive: Annotated[
        str, typer.Option(help="class that must not be missed; auto: malignant where that is one; none")
    ] = "auto",
    page: Annotated[Path | None, typer.Option(help="HTML page to write too")] = None,
) -> None:
    """The evidence for predictions from elsewhere. Intervals by patient; several models side by side."""
    from frostline.report.outside import evaluate_text, write_page
    from frostline.runs.outside import read_outside

    models = [run for file in files for run in read_outside(file, None if positive == "none" else positive)]
    print(evaluate_text(models))
    if page is not None:
        write_page(models, page)
        print(f"page    {page}")


@app.command()
def verify(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs")],
    root: Annotated[
        Path | None, typer.Option(help="folder of the data set, where it is not where the run found it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs, with everything that differs")] = False,
) -> None:
    """Whether a run's figures hold. Split, leaks, metrics and intervals computed anew; exits 1 where one differs."""
    from frostline.runs.verification.verify import verified_json, verified_text, verify_run

    verified = [verify_run(run, root) for run in runs]
    if as_json:
        print(json.dumps([verified_json(v) for v in verified], indent=2))
    else:
        print("\n\n".join(verified_text(v) for v in verified))
    if not all(v.agrees for v in verified):
        raise typer.Exit(1)


@app.command()
def report(
    target: Annotated[
        str, typer.Argument(help="folder of logs, a study's folder in it, or the name of a study")
    ] = "logs",
    out: Annotated[Path | None, typer.Option(help="file to write; default: report.html in that folder")] = None,
    thumbnails: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="show the slices of the most confident mistakes")
    ] = True,
    heat_maps: Annotated[
        bool, typer.Option("--heat-maps", help="show where the networks looked beside them, seconds an image")
    ] = False,
    checklist: Annotated[
        Path | None, typer.Option(help="Markdown file to write too: CLAIM 2024 and TRIPOD+AI, filled from the runs")
    ] = None,
    storage: Annotated[str | None, typer.Option(help=STORAGE)] = None,
) -> None:
    """One self-contained page of evidence. What was found, how sure one can be, how to do it again."""
    from frostline.report.collect import collect
    from frostline.report.page import write_checklists, write_report

    collected = collect(target, address_of(storage))
    if checklist is not None:
        write_checklists(collected, checklist)
    file = out or collected.file("report.html")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_report(collected, file, thumbnails, heat_maps)
    print(f"{file} (studies: {len(collected.studies)}, runs: {len(collected.runs)})")


@app.command()
def predict(
    checkpoints: Annotated[
        list[str], typer.Argument(help="checkpoints or run folders; then images, folders or patterns")
    ],
    out: Annotated[Path, typer.Option(help="file for the answers: .csv, .jsonl (JSON lines) or .parquet")] = Path(
        "predictions.csv"
    ),
    batch: Annotated[int, typer.Option(min=1, help="images at a time")] = 16,
    coverage: Annotated[
        float, typer.Option(min=0.01, max=0.999, help="share of new images whose class the prediction set holds, 0..1")
    ] = 0.9,
    patients: Annotated[
        Path | None, typer.Option(help="CSV that says who is one patient: path (or a pattern of paths), and patient")
    ] = None,
    patient_pattern: Annotated[
        str | None, typer.Option(help="regular expression on the path; its first group names the patient")
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="mean with the mirror image, in twice the time")] = False,
) -> None:
    """What trained networks say of new images. Several checkpoints answer together. For research, no diagnosis."""
    from frostline.inference.command import predict_files

    print(predict_files(checkpoints, out, batch, coverage, patients, patient_pattern, tta))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="a checkpoint, or a run's folder")],
    out: Annotated[Path, typer.Argument(help="file to write: .onnx, or .pt2 for torch.export")],
    int8: Annotated[bool, typer.Option("--int8", help="weights and values in 8 bits, with what that costs")] = False,
) -> None:
    """A trained network for other programs: ONNX, or torch.export. Checked against the network itself."""
    from frostline.inference.export import export_checkpoint

    print(export_checkpoint(checkpoint, out, int8))


@app.command()
def explain(
    checkpoints: Annotated[
        list[str], typer.Argument(help="checkpoints or run folders; then images, folders or patterns")
    ],
    out: Annotated[Path, typer.Option(help="folder for the heat maps")] = Path("heat_maps"),
    class_name: Annotated[
        str | None, typer.Option("--class", help="class to look for; default: what is predicted of each image")
    ] = None,
    method: Annotated[
        Literal["gradcam", "occlusion"], typer.Option(help="occlusion, or the quick gradcam")
    ] = "occlusion",
    most: Annotated[int, typer.Option(min=1, help="images at most")] = 200,
    coverage: Annotated[float, typer.Option(min=0.01, max=0.999, help="of the prediction sets, 0..1")] = 0.9,
) -> None:
    """Where in new images trained networks look for a class: heat maps. For research, no diagnosis."""
    from frostline.inference.explain import explain_files

    print(explain_files(checkpoints, out, class_name, method, most, coverage))


@app.command()
def serve(
    checkpoints: Annotated[list[str], typer.Argument(help="checkpoints or run folders; several answer together")],
    port: Annotated[int | None, typer.Option(help="default: the first free one from 7860", min=1, max=65535)] = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; by default this machine alone can open it")
    ] = "127.0.0.1",
    coverage: Annotated[float, typer.Option(min=0.01, max=0.999, help="of the prediction sets, 0..1")] = 0.9,
    heat_maps: Annotated[
        bool, typer.Option("--heat-maps/--no-heat-maps", help="where it looked, seconds an image")
    ] = True,
    data: Annotated[
        Path | None, typer.Option(help="folder of the training data, where it is not where the run found it")
    ] = None,
) -> None:
    """A small web page on this machine: drop a slice, see what the networks say. For research, no diagnosis."""
    from frostline.serving.app import serve as serve_page

    serve_page(checkpoints, host, port, coverage, heat_maps, data)


@app.command()
def dashboard(
    target: Annotated[
        str, typer.Argument(help="folder of logs, a study's folder in it, or the name of a study")
    ] = "logs",
    entity: Annotated[str | None, typer.Option(help="user or team at Weights & Biases; default: your own")] = None,
    project: Annotated[str, typer.Option(help="project at Weights & Biases, as logger.project")] = "frostline",
    out: Annotated[Path | None, typer.Option(help="file for the specification; default: dashboard.json there")] = None,
    storage: Annotated[str | None, typer.Option(help=STORAGE)] = None,
) -> None:
    """Workspace and report at Weights & Biases. Without a key, what would be sent."""
    from frostline.report import dashboard as wandb_dashboard
    from frostline.report.collect import collect

    collected = collect(target, address_of(storage))
    if not collected.studies:
        raise ConfigError(
            f"frostline dashboard: {target} holds no study; it shows studies, `frostline report` runs too"
        )
    can_publish = wandb_dashboard.can_publish()
    entity = entity or (wandb_dashboard.own_entity() if can_publish else None)
    built = wandb_dashboard.build_dashboard(collected.studies, collected.task, collected.title, entity, project)
    if waiting := wandb_dashboard.offline_runs(collected.studies, collected.logs_dir):
        print(f"offline runs, to be sent first: wandb sync {waiting}")
    if can_publish:
        print("\n".join(wandb_dashboard.publish(built)))
        return
    file = out or collected.file("dashboard.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(built.specification(), indent=2))
    print(f"no key for Weights & Biases is configured (wandb login): what would be sent is in {file}")


def _study_options(words: list[str] | None, config_dir: Path | None) -> tuple[list[str], str]:
    """The options of a study, those of the demo when no data set is named, and where it keeps its logs."""
    given = words or []
    if given and (not re.match(r"[+~]|\w[\w.@/]*=", given[0]) or Path(given[0]).exists()):
        given = [*_options_of_folder(given[0]), *given[1:]]
    if any(o.startswith("study=") for o in given):
        raise ConfigError("study=NAME: here a study is named by --name NAME")
    if not any(o.startswith(("data=", "experiment=")) for o in given):
        given = ["experiment=demo_study", *given]
    if config_dir is not None:
        given = [f"hydra.searchpath=[{json.dumps(f'file://{config_dir.absolute()}')}]", *given]
    return given, next((o.split("=", 1)[1] for o in given if o.startswith("logs_dir=")), "logs")


def _options_of_folder(source: str) -> list[str]:
    """The options that name a data set: `phantom`, a folder, or a table."""
    if source == "phantom":
        return ["data=phantom"]
    root = Path(source)
    if root.is_file():
        return ["data=folder", quote_override("data.table", source)]
    if not root.is_dir():
        raise ConfigError(
            f"{source}: no such folder; give a folder with one folder per class, a table, or phantom; options are "
            "NAME=VALUE"
        )
    return [
        f"data={'iqothnccd' if (root / 'Bengin cases').is_dir() else 'folder'}",
        quote_override("data.root", source),
    ]


def _default_freeze(model: str, unit: str) -> int:
    if unit != "layer" or not (CONF_DIR / "model" / f"{model}.yaml").is_file():
        return 0
    return compose_config([f"model={model}"]).freeze
