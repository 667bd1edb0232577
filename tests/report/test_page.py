"""The page as a reviewer meets it: made from real runs and studies, opened in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from frostline.config.compose import compose_config
from frostline.report.interactive import script as plotly_script
from frostline.training.recipe import train_once
from tests.conftest import ROOT, TINY, Frostline, Run, read_yaml, train

BROWSER = next(
    (found for name in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(name))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update"),
)
SMALL = (*TINY, "model.name=shufflenet_v2_x0_5", "trainer.max_epochs=1", "logger=csv")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both phases and two tested runs on the same phantoms."""
    folder = tmp_path_factory.mktemp("logs")
    searched = ("-m", *SMALL, f"logs_dir={folder}")
    one = train(
        *searched, "hparams_search=phase1", "study=all-phase1", "hydra.sweeper.n_trials=5", "data.batch_size=8,12"
    )
    assert one.returncode == 0, one.stderr
    two = train(*searched, "study=all-phase2", "freeze=10,60", "seed=0,1")
    assert two.returncode == 0, two.stderr
    for seed in (0, 1):
        config = compose_config(
            (*SMALL, f"logs_dir={folder}", f"seed={seed}", "study=all-final", f"freeze={highest_depth(folder)}")
        )
        train_once(config, folder / "all-final" / f"seed-{seed}")
    return folder


def highest_depth(logs: Path) -> int:
    """The depth that phase 2 has chosen."""
    return int(read_yaml(logs / "all-phase2" / "best.yaml")["freeze"])


@pytest.fixture(scope="module")
def page(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of everything."""
    from frostline.report.collect import collect
    from frostline.report.page import write_report

    file = tmp_path_factory.mktemp("page") / "report.html"
    write_report(collect(str(logs)), file)
    return file


def test_the_page_says_what_was_searched_found_and_tested(page: Path, logs: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text())
    assert text.index("<h2>Study all-phase1</h2>") < text.index("<h2>Study all-phase2</h2>")
    assert "Searches freeze, with several seeds, maximising val/acc: 4 complete." in text
    assert "Its test set was evaluated 2 times (all-final 2)." in text
    assert re.search("Study all-phase2: (the highest mean validation score is at|all 2 depths tie)", text)
    freeze = highest_depth(logs)
    assert (
        f"shufflenet_v2_x0_5, freeze {freeze}, random weights, 32 px, 1 epochs, split grouped, phantom: right on"
        in text
    )
    assert "The test images of these runs were evaluated 2 times (all-final 2)." in text
    assert 'id="claims"' not in text  # a published report on other data says nothing here
    assert re.search(
        rf"Trained anew with {freeze} frozen layers it has [\d.]+ % on test, [\d.]+ points (below|above) ", text
    )
    assert "python train.py -m" in text
    assert "hashed before and after training in 11 of 11 runs that freeze" in text
    assert "<h3>CLAIM 2024</h3>" in text
    assert "Not a medical device: for research alone" in text  # the model card
    assert "Studies before: all-phase1: " in text
    assert text.count("data:image/jpeg;base64,") > 0  # a network of one epoch makes mistakes


def test_heat_maps_stand_beside_the_slices_when_asked_for(logs: Path, tmp_path: Path, frostline: Frostline) -> None:
    plain, heated, hidden = tmp_path / "plain.html", tmp_path / "heated.html", tmp_path / "hidden.html"
    for file, options in ((plain, ()), (heated, ("--heat-maps",)), (hidden, ("--heat-maps", "--no-pictures"))):
        code, _, error = frostline("report", str(logs), "--out", str(file), *options)
        assert (code, error) == (0, "")
    slices = plain.read_text().count('alt="slice"')
    assert heated.read_text().count('alt="where the network looked"') >= 1
    assert 'alt="where the network looked"' not in plain.read_text()
    assert "frostline report --heat-maps" in plain.read_text()
    assert 'alt="where the network looked"' not in hidden.read_text()
    assert slices >= 1


def test_the_page_needs_no_network(page: Path) -> None:
    text = page.read_text().replace(plotly_script(), "")  # which knows of maps, that no curve asks for
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in text
    assert "url(http" not in text


def test_the_report_of_one_study_holds_that_study(logs: Path, frostline: Frostline) -> None:
    code, out, err = frostline("report", str(logs / "all-phase2"), "--no-pictures")
    assert (code, err) == (0, "")
    assert out == f"{logs / 'all-phase2' / 'report.html'} (studies: 1, runs: 4)\n"
    text = (logs / "all-phase2" / "report.html").read_text().replace(plotly_script(), "")
    assert "all-phase1" not in text
    assert "data:image" not in text
    assert "shows and names" not in text
    assert not re.search(r"[\w-]+/[\w-]+\.png", text)


def test_a_name_stands_for_its_phases(logs: Path, frostline: Frostline, monkeypatch: pytest.MonkeyPatch) -> None:
    home = logs.parent / "home"
    home.mkdir(exist_ok=True)
    shutil.copytree(logs, home / "logs", dirs_exist_ok=True)
    monkeypatch.chdir(home)
    code, out, _ = frostline("report", "all", "--no-pictures")
    assert code == 0
    assert out == "logs/report-all.html (studies: 2, runs: 11)\n"


@pytest.mark.slow
def test_studies_in_another_database_are_found_with_it(
    tmp_path: Path, frostline: Frostline, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{tmp_path}/elsewhere.db"
    command = ("-m", *SMALL, f"logs_dir={tmp_path}/logs", "study=away", "freeze=10,60")
    done = train(*command, f"hydra.sweeper.storage={storage}")
    assert done.returncode == 0, done.stderr
    assert "elsewhere.db" not in (tmp_path / "logs" / "away" / "trial-0" / "config.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    for target in ("logs", "logs/away", "away"):
        code, out, _ = frostline("report", target, f"--storage={storage}", "--no-pictures")
        assert (code, out.split(" ", 1)[1]) == (0, "(studies: 1, runs: 2)\n"), target


def test_nothing_to_report_is_told_in_one_line(tmp_path: Path, frostline: Frostline) -> None:
    for target in (str(tmp_path), "no-such-study"):
        code, out, err = frostline("report", target)
        assert (code, out) == (1, "")
        assert "holds no finished run and no study" in err
        assert err.count("\n") == 1


def in_browser(page: Path, script: str, tmp_path: Path) -> dict[str, object]:
    """What `script` leaves in `result` when it runs in the page."""
    check = (
        f"<script>const result = {{}}; {script}; document.body.dataset.result = JSON.stringify(result);</script></body>"
    )
    changed = tmp_path / "checked.html"
    changed.write_text(page.read_text().replace("</body>", check))
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", changed.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'data-result="([^"]*)"', dom)
    assert found, dom[-2000:]
    result: dict[str, object] = json.loads(found[1].replace("&quot;", '"'))
    return result


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
def test_the_table_sorts_and_filters_in_a_browser(page: Path, tmp_path: Path) -> None:
    script = """
      const table = document.getElementById("all-runs"), rows = () => [...table.tBodies[0].rows];
      const heads = [...table.querySelectorAll("thead th")], place = heads.findIndex(h => h.textContent === "rate");
      const values = () => rows().map(r => parseFloat(r.cells[place].textContent));
      heads[place].click(); result.down = values(); heads[place].click(); result.up = values();
      const input = document.getElementById("filter"); input.value = "phase2 freeze=60 data=phantom";
      input.dispatchEvent(new Event("input")); result.shown = rows().filter(r => !r.hidden).length;
      result.words = document.getElementById("shown").textContent;
      result.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
      result.figures = document.querySelectorAll("figure svg").length;
    """
    found = in_browser(page, script, tmp_path)
    assert found["down"] == sorted(found["down"], reverse=True)  # type: ignore[type-var]  # numbers
    assert found["up"] == sorted(found["down"])  # type: ignore[type-var]
    assert (found["shown"], found["words"]) == (2, "2 shown")
    assert found["wide"] is False
    assert found["figures"] >= 3


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
def test_curves_answer_a_pointer_in_the_colours_of_the_page(page: Path, tmp_path: Path) -> None:
    script = """
      const plots = [...document.querySelectorAll(".js-plotly-plot")];
      result.plots = plots.length;
      result.texts = plots.map(plot => {
        const curve = plot.data.findIndex(trace => trace.hoverinfo !== "skip" && trace.text?.length);
        Plotly.Fx.hover(plot, [{ curveNumber: curve, pointNumber: 0 }]);
        return [...plot.querySelectorAll(".hovertext text")].map(t => t.textContent).join(" ");
      });
      result.own = plots.flatMap(plot => plot.data.map(trace => trace.line?.color ?? trace.marker?.color));
      result.blue = colour("blue");
    """
    found = in_browser(page, script, tmp_path)
    assert found["plots"] in (2, 3)  # without the settings, where all trials tie
    history, *_, depths = found["texts"]  # type: ignore[misc]  # a list
    assert re.search(r"trial \d+: val/acc 0\.\d{3}.*optimizer (adam|adamax|rmsprop).*lr ", history)
    assert re.search(r"\d+ layers frozen: [\d.]+ %.*2 seeds", depths)
    assert found["blue"] in found["own"]  # type: ignore[operator]  # a list


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
@pytest.mark.parametrize(("size", "dark"), [("1200,900", False), ("390,844", False), ("390,844", True)])
def test_the_page_is_drawn_on_a_screen_and_a_phone_light_and_dark(
    page: Path, size: str, dark: bool, tmp_path: Path
) -> None:
    image = tmp_path / "page.png"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    command = [str(BROWSER), *FLAGS, *scheme, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}"]
    subprocess.run([*command, f"--screenshot={image}", page.as_uri()], capture_output=True, timeout=120, check=True)
    with Image.open(image) as shot:
        corner = shot.convert("L").getpixel((2, shot.height - 3))
        assert isinstance(corner, int)
        assert (corner < 60) == dark
        assert len(shot.convert("L").getcolors(256) or []) > 20


@pytest.mark.slow
def test_runs_that_differ_in_more_than_the_seed_are_not_pooled(tmp_path: Path) -> None:
    from frostline.report.collect import collect
    from frostline.report.configurations import configurations

    for name, options in (("a", ()), ("b", ("loss=focal",)), ("c", ()), ("d", ("seed=1",))):
        train_once(compose_config((*SMALL, f"logs_dir={tmp_path}", *options)), tmp_path / "runs" / name)
    found = configurations(collect(str(tmp_path)).runs)
    names = [[run.folder.name for run in c.runs] for c in found]
    assert names == [["c", "d"], ["b"]]  # a and c are the same training


def test_a_run_that_cannot_be_read_is_named_and_left_out(logs: Path, tmp_path: Path, frostline: Frostline) -> None:
    for name in ("seed-0", "seed-1"):
        shutil.copytree(logs / "all-final" / name, tmp_path / name)
    (tmp_path / "seed-1" / "predictions.csv").unlink()
    code, out, err = frostline("report", str(tmp_path))
    assert (code, err) == (0, "")
    assert out.endswith("(studies: 0, runs: 1)\n")
    assert "Left out: " in (tmp_path / "report.html").read_text()


def test_by_patient_stands_beside_by_slice_and_for_runs_of_before_too(tiny_run: Run, tmp_path: Path) -> None:
    from frostline.report.assemble import assemble_page
    from frostline.report.collect import collect
    from frostline.report.page import render

    m = tiny_run.metrics
    old = tmp_path / "old"
    shutil.copytree(tiny_run.folder, old)
    (old / "predictions_by_patient.csv").unlink()
    before = {k: v for k, v in m.items() if "patient/" not in k and k != "patients_known"}
    (old / "metrics.json").write_text(json.dumps(before))
    new = tmp_path / "new"
    shutil.copytree(tiny_run.folder, new)
    accuracy, ends = f"{100 * m['test/patient/acc']:.1f} %", (m["test/patient/acc/lower"], m["test/patient/acc/upper"])
    of_few = ends[0] is None
    said = "no interval" if of_few else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"
    said = f"on {accuracy} ({said}) of {m['test/patient/patients']}"
    for folder, by in ((new, "by patient"), (old, "by group, patients are not known")):
        page = assemble_page(collect(str(folder)), images=False)
        assert any(f"; {by}, {said}" in sentence for sentence in page.sentences)
        assert page.tested[0].metrics.caption.startswith(by.capitalize())
        assert accuracy in page.tested[0].metrics.rows[0]
        whole = sum(int(cell.text) for row in page.tested[0].matrices[1].rows for cell in row)
        assert whole == m["test/patient/patients"]
        temperature = m["patient/temperature"]
        how = "no temperature, for none" if temperature == 1 else f"temperature {temperature:.2f}: "
        assert f"{by.capitalize()} (seed 0), {how}" in render(page)
        assert "loss and accuracy by epoch" in render(page)  # of a run that stands alone


@pytest.mark.slow
def test_a_cross_validation_is_one_configuration_of_all_images(tmp_path: Path, logs: Path) -> None:
    from frostline.report.collect import collect
    from frostline.report.configurations import configurations

    study = ("study=crossed", "data.fold=range(3)", "data.folds=3", "seed=0,1", "test=true")
    done = train("-m", *SMALL, f"logs_dir={tmp_path}", *study)
    assert done.returncode == 0, done.stderr
    (found,) = configurations(collect(str(tmp_path / "crossed")).runs)
    assert (found.seeds, found.folds) == (2, 3)
    assert len(found.examples) == len({e.path for e in found.examples}) == 36  # every image, once
    assert found.matrix.sum() == pytest.approx(36)
    right = [p.argmax(1) == found.targets for p in found.probabilities]
    assert found.metrics["acc"].values == pytest.approx([r.mean() for r in right])


@pytest.mark.slow
def test_the_leak_gap_is_one_command_and_one_table(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("frostline")
    command = [str(script), "leak-gap", "--seeds=2", "data=phantom", *SMALL, f"logs_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.rindex("by image  ") :]
    ends = r"(no interval|[+-][\d.]+ to [+-][\d.]+)"
    assert re.search(rf"accuracy +[\d.]+ % +[\d.]+ % +[\d.]+ % +[+-][\d.]+ +{ends} +[+-][\d.]+ +{ends}", table)
    assert re.search(r"in training: [1-9] of 6 by image, \d of 6 by near copies, 0 of 6 by patient\.", table)
    assert "Seeds: 2 by image, 2 by near copies, 2 by patient; one draw of each split" in table
