"""The page in a real browser: it answers as `predict` does, keeps nothing, and nothing leaves the machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.inference.network import load_network
from frostline.runs.folder import RunFolder
from frostline.serving.app import LARGEST, is_upload, make_answering, remove_upload
from frostline.serving.neighbours import TrainingImages, training_images
from tests.conftest import Frostline, Run, data_of
from tests.data.image_files import ct, write_dicom

BROWSER = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
in_a_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium; CI installs it")
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 390, "height": 844}


def begin(*arguments: str, tmp: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "frostline", "serve", *arguments],
        env=os.environ | {"TMPDIR": str(tmp)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("page "), line
    return line.split()[1]


def port_of(address: str) -> int:
    return int(address.partition("/?")[0].rsplit(":", 1)[1])


def ask(address: str, path: str, headers: dict[str, str] | None = None, with_key: bool = False) -> int:
    """The status that the page answers a program with, which has no browser's cookie."""
    start, _, key = address.partition("/?")
    url = f"{start}{path}?{key}" if with_key else f"{start}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture(scope="module")
def served(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of the page of a run, and the folder for temporary files of its process."""
    tmp = tmp_path_factory.mktemp("served")
    process = begin(str(tiny_run.folder), tmp=tmp)
    yield address_of(process), tmp
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert list(tmp.glob("frostline-serve-*")) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(served: tuple[str, Path], browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the page; what it asks for of other machines, and what its scripts complain of, fails the test."""
    address, contexts, wrong = served[0], [], []

    def open_page(viewport: dict[str, int] = WIDE, scheme: str = "light") -> Any:
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        page = contexts[-1].new_page()
        own = address.partition("?")[0]
        page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((own, "data:", "blob:")) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector("text=Drop a slice here")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def drop(page: Any, file: Path | dict[str, Any]) -> str:
    """Drop a file, and wait for all that is said of it."""
    page.set_input_files("input[type=file]", str(file) if isinstance(file, Path) else file)
    page.wait_for_selector(".answer.failed, img[alt='the slice with a heat map']", timeout=60_000)
    return str(page.inner_text(".answer"))


@pytest.fixture(scope="module")
def phantom(tiny_run: Run) -> Path:
    """A malignant phantom that was trained on."""
    rows = RunFolder(tiny_run.folder).manifest.read_text().splitlines()
    path = next(row.split(",")[0] for row in rows if ",train" in row and row.startswith("malignant"))
    return data_of(tiny_run) / path


@in_a_browser
def test_an_image_is_answered_as_predict_does_and_deleted(
    opened: Callable[..., Any],
    served: tuple[str, Path],
    tiny_run: Run,
    phantom: Path,
    tmp_path: Path,
    frostline: Frostline,
) -> None:
    text = drop(opened(), phantom)
    out = tmp_path / "answers.jsonl"
    frostline("predict", str(tiny_run.folder), str(phantom), "--out", str(out))
    want = re.findall(r'"p_(\w+)": ([\d.e-]+)', out.read_text())
    assert len(want) == 3
    for name, p in want:
        assert re.search(rf"{name}\s+{100 * float(p):.1f} %", text), (name, p, text)
    assert "A figure for research, no diagnosis." in text
    assert "where it looked for" in text
    assert f"malignant: malignant/{phantom.name}" in text  # it is most like itself
    assert [f for f in served[1].rglob("*") if f.is_file()] == []
    assert "Do not rely on what follows: this very file was trained on" in text


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "phone"])
def test_it_fits_the_screen_and_can_be_read(
    opened: Callable[..., Any], phantom: Path, viewport: dict[str, int], scheme: str
) -> None:
    page = opened(viewport, scheme)
    drop(page, phantom)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.querySelector('{one}')).{what}")
        for one, what in ((".answer h2", "color"), ("body", "backgroundColor"))
    )
    dark, light = sorted(np.mean([float(v) for v in re.findall(r"\d+", colour)[:3]]) for colour in (ink, paper))
    assert light - dark > 150


@in_a_browser
def test_dicom_is_answered_and_what_is_no_image_is_told_in_a_line(opened: Callable[..., Any], tmp_path: Path) -> None:
    page = opened()
    (tmp_path / "notes.jpg").write_text("no image at all")
    (tmp_path / "empty.dcm").write_bytes(b"")
    for name in ("notes.jpg", "empty.dcm"):
        text = drop(page, tmp_path / name)
        assert text.startswith(f"{name}: ")
        assert "\n" not in text
        assert "/" not in text  # nor where the file lay
        page.evaluate("document.querySelector('.answer').remove()")
    assert "Likeliest: " in drop(page, write_dicom(tmp_path / "IM0001", ct().astype(np.int16)))


@in_a_browser
def test_a_file_that_is_too_large_is_refused(opened: Callable[..., Any], tmp_path: Path) -> None:
    page, large = opened(), tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(1 + int(LARGEST.removesuffix("mb")) * 1024 * 1024)
    page.set_input_files("input[type=file]", str(large))
    page.wait_for_selector("text=/exceeds|too large|size/i", timeout=30_000)
    assert page.query_selector(".answer") is None


def test_other_machines_cannot_open_it(served: tuple[str, Path]) -> None:
    port = port_of(served[0])
    assert ask(served[0], "/", with_key=True) == 200
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: tells our address in the network
        outside = probe.getsockname()[0]
    if outside.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{outside}:{port}/?{served[0].partition('?')[2]}", timeout=5)  # our own address


def test_files_of_the_machine_are_not_handed_out(served: tuple[str, Path], tiny_run: Run) -> None:
    for path in ("/etc/passwd", str(tiny_run.folder / "model.ckpt"), str(Path.cwd() / "pyproject.toml")):
        assert ask(served[0], f"/gradio_api/file={path}", with_key=True) in (403, 404)


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/queue/join", "/gradio_api/upload"])
def test_who_was_not_given_the_address_gets_nothing(served: tuple[str, Path], path: str) -> None:
    for headers in ({}, {"Cookie": f"frostline-{port_of(served[0])}=guessed"}, {"Origin": "http://evil.example"}):
        assert ask(served[0], path, headers) == 401
    host = {"Host": "evil.example"}  # of a website whose name was pointed at this machine
    assert ask(served[0], path, host, with_key=True) == 401


def test_only_what_was_uploaded_is_read_and_deleted(tmp_path: Path) -> None:
    uploads, own = tmp_path / "uploads", tmp_path / "mine.png"
    (uploads / "hash").mkdir(parents=True)
    own.write_text("mine")
    (uploads / "loose.png").write_text("not in a folder of its own")
    (uploads / "hash" / "link.png").symlink_to(own)
    upload = uploads / "hash" / "slice.png"
    upload.write_text("")
    for other in (uploads, uploads / "hash", uploads / "loose.png", uploads / "hash" / "link.png", own, Path()):
        assert not is_upload(other, uploads)
        remove_upload(other, uploads)
    assert not is_upload(uploads / "hash" / ".." / ".." / "mine.png", uploads)
    assert is_upload(upload, uploads)
    (uploads / "hash" / "link.png").unlink()
    remove_upload(upload, uploads)
    assert not (uploads / "hash").exists()
    assert own.read_text() == "mine"
    assert (uploads / "loose.png").is_file()


def test_a_termination_leaves_nothing_behind(tiny_run: Run, tmp_path: Path) -> None:
    process = begin(str(tiny_run.folder), "--no-heat-maps", tmp=tmp_path)
    address_of(process)
    assert [f.name for f in tmp_path.glob("frostline-serve-*")]
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "")
    assert list(tmp_path.glob("frostline-serve-*")) == []


def test_what_is_wrong_is_told_in_one_line(
    tiny_run: Run, served: tuple[str, Path], tmp_path: Path, frostline: Frostline
) -> None:
    port = str(port_of(served[0]))
    for arguments, message in (
        ((str(tmp_path),), "no checkpoint"),
        ((str(tmp_path / "gone.ckpt"),), "there is no such checkpoint"),
        ((str(tiny_run.folder), "--port", port), f"127.0.0.1:{port} cannot be served"),
    ):
        code, _, error = frostline("serve", *arguments)
        assert code != 0
        assert message in error
        assert len(error.strip().splitlines()) == 1


def test_training_images_are_not_shown_to_other_machines(tiny_run: Run) -> None:
    assert isinstance(make_answering([str(tiny_run.folder)], 0.9, True, None, local=True).near, TrainingImages)
    assert "this machine alone" in str(make_answering([str(tiny_run.folder)], 0.9, True, None, local=False).near)


def test_a_checkpoint_elsewhere_says_why_it_has_no_training_images(tiny_run: Run, tmp_path: Path) -> None:
    moved = tmp_path / "model.ckpt"
    shutil.copy(RunFolder(tiny_run.folder).best_checkpoint, moved)
    assert "manifest.csv is not there" in str(training_images(load_network(moved), None))


def test_a_training_image_that_has_changed_is_not_shown(tiny_run: Run, tmp_path: Path) -> None:
    network = load_network(RunFolder(tiny_run.folder).best_checkpoint)
    copy = tmp_path / "data"
    shutil.copytree(data_of(tiny_run), copy)
    images = training_images(network, None)
    assert isinstance(images, TrainingImages)
    images = TrainingImages(network, images.rows, copy)
    from frostline.data.cache import load_image

    first = images.rows[0]
    image = load_image(copy / first.path, network.image_size, network.reading)
    near = images.nearest(image)
    assert near[0].path == first.path
    assert len({images.rows[i].group for i in images.rows if images.rows[i].path in {n.path for n in near}}) == len(
        near
    )
    (copy / first.path).write_bytes(b"another")
    assert first.path not in {n.path for n in images.nearest(image)}
