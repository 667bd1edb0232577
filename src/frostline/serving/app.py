"""`frostline serve`: the page itself, by Gradio. Nothing that is dropped on it is kept, nothing leaves the machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from frostline.errors import FrostlineError, first_line
from frostline.inference.caveats import caveats
from frostline.inference.command import require_checkpoints
from frostline.inference.ensemble import load_ensemble
from frostline.inference.explain import look_at, mean_heat, same_images
from frostline.inference.heat import PASSES
from frostline.inference.network import Network, TrainedNetwork
from frostline.serving.guard import KEY, Guard, new_key
from frostline.serving.neighbours import TrainingImages, training_images
from frostline.serving.view import show, show_failed
from frostline.text import duration

if TYPE_CHECKING:
    from gradio import Blocks

log = logging.getLogger("frostline")

LOCAL = ("127.0.0.1", "localhost", "::1")
LARGEST = "64mb"  # of a file; a slice of 2048 x 2048 pixels in 32 bits has 16
WAITING = 16  # images at most; others are told to come back
AT_A_TIME = 4  # so that nobody waits for the heat map of somebody else
KEPT_S = 600  # how long a file stays that was sent, but not asked about
FIRST_PORT = 7860


@dataclass(frozen=True)
class Answering:
    """Networks, and what is shown beside what they say."""

    networks: Sequence[Network]
    coverage: float
    heat_maps: bool
    near: TrainingImages | str
    """The training images, or why they are not shown."""

    def answer(self, file: Path) -> Iterator[str]:
        """HTML on a file: what is said of it at once, then with the heat map. Raises nothing that a file can cause."""
        begun = time.monotonic()
        try:
            seen = look_at(self.networks, file, self.coverage)
        except FrostlineError as error:
            seen = str(error)
        if isinstance(seen, str):
            yield show_failed(f"{file.name}: {seen.replace(str(file.parent), '').lstrip('/')}")
            return
        image, said = seen
        coming = f"The heat map is being computed, in about {duration(PASSES * (time.monotonic() - begun))}."
        without = self._without_heat()
        assert said.probabilities is not None
        likeliest = int(np.argmax(said.probabilities))
        near = self.near if isinstance(self.near, str) else self.near.nearest(image)
        shown = self._shown(image, said, near or "None of them is where it was, or they have changed.")
        yield shown(without or coming)
        if without is None:
            trained = [n for n in self.networks if isinstance(n, TrainedNetwork)]
            try:
                yield shown(mean_heat(trained, image, likeliest, "occlusion"))
            except FrostlineError as error:
                yield shown(f"No heat map: {error}")

    def _shown(self, image: Tensor, said: Any, near: Any) -> Callable[[np.ndarray | str], str]:
        task, unknown = self.networks[0].task, caveats(self.networks, self.coverage)

        def with_heat(heat: np.ndarray | str) -> str:
            return show(image[0].numpy(), said, task, len(self.networks), self.coverage, heat, near, unknown)

        return with_heat

    def _without_heat(self) -> str | None:
        if not self.heat_maps:
            return "No heat map: it was left out by --no-heat-maps."
        if not all(isinstance(n, TrainedNetwork) for n in self.networks):
            return "No heat map: it takes checkpoints (.ckpt), not ONNX files."
        return None


def make_answering(
    arguments: Sequence[str], coverage: float, heat_maps: bool, data: Path | None, local: bool
) -> Answering:
    """Read the networks that are named, and find their training images, which are shown on this machine alone.

    Raises `FrostlineError` for what is no network, and for networks that do not go together.
    """
    networks = load_ensemble(require_checkpoints([Path(argument) for argument in arguments]))
    same_images(networks)
    near: TrainingImages | str = "Training images are shown on this machine alone, not with --host."
    if local:
        found_near = [training_images(network, data) for network in networks]
        near = next((one for one in found_near if isinstance(one, TrainingImages)), found_near[0])
    return Answering(networks, coverage, heat_maps, near)


def build_page(answering: Answering, uploads: Path) -> Blocks:
    """The page: a place to drop a file, which then lies in a folder of its own in `uploads`, and the answer below."""
    import gradio

    def answer(upload: str | None) -> Iterator[tuple[None, str]]:
        file = Path(upload or "")
        if not is_upload(file, uploads):  # the browser says which file it was: it may say another one
            yield None, show_failed("No file was sent: drop it again.")
            return
        try:
            for html in answering.answer(file):
                yield None, html
        finally:
            remove_upload(file, uploads)

    classes = ", ".join(answering.networks[0].task.classes)
    count = len(answering.networks)
    by = f"{answering.networks[0].file.name} says" if count == 1 else f"{count} networks say together"
    page: Blocks = gradio.Blocks(title="frostline", analytics_enabled=False, delete_cache=(60, KEPT_S))
    with page:
        gradio.Markdown(
            f"# frostline\nA CT slice in, what {by} of it out: {classes}. For research, no diagnosis. The file "
            "stays on this machine, and is deleted once it is answered."
        )
        file = gradio.File(label="Drop a slice here: DICOM, PNG, JPEG, TIFF", file_count="single", height=140)
        said = gradio.HTML()
        file.upload(
            answer, file, [file, said], show_progress="minimal", concurrency_limit=AT_A_TIME, api_visibility="private"
        )
    page.queue(max_size=WAITING)
    return page


def is_upload(file: Path, uploads: Path) -> bool:
    """Whether it is a file in a folder of its own in `uploads`, and no link to another one."""
    return not file.is_symlink() and file.is_file() and file.resolve().parent.parent == uploads.resolve()


def remove_upload(file: Path, uploads: Path) -> None:
    """Delete an upload, its folder, and the empty file that Gradio makes with it."""
    if is_upload(file, uploads):
        file.unlink(missing_ok=True)
        with suppress(OSError):  # another upload of the same content lies there
            file.parent.rmdir()
    for empty in uploads.glob("tmp*"):
        if empty.is_file() and not empty.stat().st_size:
            empty.unlink(missing_ok=True)


def serve(
    arguments: Sequence[str], host: str, port: int | None, coverage: float, heat_maps: bool, data: Path | None
) -> None:
    """Serve the page until Ctrl-C, or a termination, and leave nothing behind.

    Raises `FrostlineError` where Gradio or a network is missing, or the port is taken.
    """
    local = host in LOCAL
    answering = make_answering(arguments, coverage, heat_maps, data, local)
    _refuse_taken(host, port or 0)
    for name in ("NO_PROXY", "no_proxy"):  # the server asks itself whether it is there
        os.environ[name] = ",".join([*filter(None, [os.environ.get(name)]), *LOCAL, host])
    key = new_key()
    with tempfile.TemporaryDirectory(prefix="frostline-serve-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # before it is imported
        try:
            import gradio
        except ImportError:
            raise FrostlineError("the page is made by gradio: pip install 'frostline[serve]'") from None
        page = build_page(answering, Path(folder))
        signal.signal(signal.SIGTERM, _leave)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=LARGEST,
                theme=gradio.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")),
                css_paths=Path(__file__).parent / "templates" / "page.css",
                footer_links=[],
                run_history=False,
                ssr_mode=False,
                app_kwargs={"middleware": [(Guard, (), {"key": key, "hosts": LOCAL if local else ()})]},
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
            )
        except OSError as error:
            raise FrostlineError(f"{host}:{port or FIRST_PORT} cannot be served ({first_line(error)})") from None
        print(f"page    {address}?{KEY}={key}   (Ctrl-C ends it)")
        if not local:
            print("        open to those in this network who have this address, not encrypted: only where you trust it")
        if isinstance(answering.near, str):
            print(f"        without training images: {answering.near}")
        print("A figure for research, no diagnosis.", flush=True)
        try:
            page.block_thread()
        except KeyboardInterrupt:
            pass
        finally:
            page.close(verbose=False)


def _refuse_taken(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return
    except OSError as error:
        raise FrostlineError(f"{host}:{port} cannot be served ({error.strerror})") from None


def _leave(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)
