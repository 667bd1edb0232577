"""Two hosts at one study in PostgreSQL: it ends as on one, whatever they share of their disks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from frostline.runs.folder import RunFolder
from frostline.search.race import standing_of
from frostline.search.storage import open_storage
from tests.cluster.postgres import ADDRESS, BIN, read_study, read_trials, running_server
from tests.cluster.small import easy_images, next_file, wait_for
from tests.cluster.two_hosts import NETWORK, Host, host, missing
from tests.conftest import TINY, train

DEPTHS = (0, 10, 20, 30, 40, 50)
OPTIONS = ("-m", *TINY, "model.name=shufflenet_v2_x0_5", "logger=csv", "study=s", "trainer.max_epochs=2")
GRID = f"freeze={','.join(map(str, DEPTHS))}"
LOCKED = """
import os, time
from sqlalchemy import text
from frostline.search.storage import open_storage
connection = open_storage(os.environ["STUDIES"]).engine.connect()
connection.execute(text("select study_id from studies for update"))  # as Optuna does before it writes a trial
print("locked", flush=True)
time.sleep(600)
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.skipif(BIN is None, reason="needs the server: apt-get install postgresql"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture
def hosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    """Two hosts, whose clocks are nine hours apart, and a server that both reach."""
    place = tmp_path_factory.mktemp("hosts")
    disks = [place / "disk"] * 2 if request.param == "one disk" else [place / "disk-1", place / "disk-2"]
    with running_server(tmp_path_factory.mktemp("postgres"), NETWORK), ExitStack() as stack:
        yield [
            stack.enter_context(host(number, disk, place / f"mounted-{number}", hours))
            for number, disk, hours in zip((1, 2), disks, (-4, 5), strict=True)
        ]


@pytest.mark.parametrize("hosts", ["one disk", "a disk each"], indirect=True)
def test_a_study_of_two_hosts_ends_as_on_one(hosts: list[Host], tmp_path: Path) -> None:
    alone = train(*OPTIONS, GRID, f"logs_dir={tmp_path}")
    assert alone.returncode == 0, alone.stderr
    expected = losses(read_trials(f"sqlite:///{tmp_path}/studies.db", "s"), [tmp_path])

    running = [each.start(*OPTIONS, GRID, "storage=postgres") for each in hosts]
    said = [process.communicate(timeout=400) for process in running]
    assert [(p.returncode, err) for p, (_, err) in zip(running, said, strict=True)] == [(0, "")] * 2
    done = read_trials(ADDRESS, "s")
    assert {t.state.name for t in done} <= {"COMPLETE", "FAIL"}
    complete = [t for t in done if t.state.name == "COMPLETE"]
    assert Counter(t.params["freeze"] for t in complete) == dict.fromkeys(DEPTHS, 1)
    assert losses(complete, [each.disk for each in hosts]) == expected
    assert {t.user_attrs["failure"]["kind"] for t in done if t.state.name == "FAIL"} <= {"twice"}
    took = [
        [t for t in complete if (each.disk / "s" / f"trial-{t.number}" / "metrics.json").is_file()] for each in hosts
    ]
    if hosts[0].disk != hosts[1].disk:
        assert all(took)
        assert sum(map(len, took)) == len(DEPTHS)


@pytest.mark.parametrize("hosts", ["a disk each"], indirect=True)
def test_a_race_of_two_hosts_judges_the_trials_of_both(hosts: list[Host], tmp_path: Path) -> None:
    table = easy_images(tmp_path / "images", 36)
    images = ("data=folder", f"data.root={table.parent}", f"data.table={table}", "data.augment=none", "test=false")
    training = ("model.weights=null", "freeze=0", "trainer.max_epochs=25", "hydra.sweeper.race=true")
    grid = ("optimizer.lr=1e-2,1e-9", "seed=range(3)", "data.val_fold=range(3)")
    running = [each.start(*OPTIONS, *images, *training, *grid, "storage=postgres") for each in hosts]
    said = [process.communicate(timeout=560) for process in running]
    assert [(p.returncode, err) for p, (_, err) in zip(running, said, strict=True)] == [(0, "")] * 2
    standing = read_study(ADDRESS, "s", standing_of)
    assert standing is not None
    assert [one.settings for one in standing.left] == [{"optimizer.lr": 1e-9}]
    assert standing.decided
    complete = [t for t in read_trials(ADDRESS, "s") if t.state.name == "COMPLETE"]
    assert 8 <= len(complete) < 18
    assert all(any((each.disk / "s" / f"trial-{t.number}").is_dir() for t in complete) for each in hosts)


@pytest.mark.parametrize("hosts", ["one disk"], indirect=True)
def test_a_host_without_power_is_taken_over_after_its_last_checkpoint(hosts: list[Host]) -> None:
    options = (*OPTIONS, "freeze=10", "storage=postgres", "trainer.max_epochs=300")
    first = hosts[0].start(*options)
    wait_for(hosts[0].disk / "s" / "trial-0" / "history.csv")
    hosts[0].pull_the_plug(out=True)  # else its kernel would tell the server
    first.kill()
    first.wait()
    begun = len(RunFolder(hosts[0].disk / "s" / "trial-0").read_history())

    second = hosts[1].start(*options)  # which first sees its beats stand still
    _, err = second.communicate(timeout=560)
    assert (second.returncode, err) == (0, "")
    died, done = read_trials(ADDRESS, "s")
    assert (died.user_attrs["failure"]["kind"], done.state.name) == ("died", "COMPLETE")
    run = RunFolder(hosts[0].disk / "s" / f"trial-{done.number}")
    assert "goes on where trial 0 ended" in run.log.read_text()
    assert [row["epoch"] for row in run.read_history()] == list(range(300))
    assert begun > 0


@pytest.mark.parametrize("hosts", ["one disk"], indirect=True)
def test_a_host_that_vanishes_in_the_middle_of_a_write_holds_up_others_for_a_minute(hosts: list[Host]) -> None:
    storage = open_storage(ADDRESS)
    assert isinstance(storage, RDBStorage)
    study = optuna.create_study(study_name="s", storage=storage)
    study.ask()
    process = hosts[0].run("-c", LOCKED)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    hosts[0].pull_the_plug(out=True)
    process.kill()
    begin = time.monotonic()
    assert study.ask().number == 1
    assert 1 < time.monotonic() - begin < 120
    storage.engine.dispose()


@pytest.mark.parametrize("hosts", ["a disk each"], indirect=True)
def test_a_network_that_is_cut_off_for_a_while_is_waited_for(hosts: list[Host]) -> None:
    options = (*OPTIONS, GRID, "storage=postgres", "trainer.max_epochs=60")
    running = [each.start(*options) for each in hosts]
    history = next_file(hosts[1].disk / "s", "trial-*/history.csv")
    hosts[1].pull_the_plug(out=True)
    begun = len(RunFolder(history.parent).read_history())
    time.sleep(40)
    assert len(RunFolder(history.parent).read_history()) <= begun + 2, "it waits to report an epoch"
    hosts[1].pull_the_plug(out=False)
    said = [process.communicate(timeout=400) for process in running]
    assert [p.returncode for p in running] == [0, 0], said
    assert "Traceback" not in said[0][1] + said[1][1]
    trials = read_trials(ADDRESS, "s")
    done = [t for t in trials if t.state.name == "COMPLETE"]
    assert Counter(t.params["freeze"] for t in done) == dict.fromkeys(DEPTHS, 1)
    waited = next(t for t in done if history.parent.name == f"trial-{t.number}")
    assert begun < len(waited.intermediate_values) == 60


def losses(trials: list[FrozenTrial], disks: list[Path]) -> dict[int, list[float]]:
    """Validation losses of all epochs by depth, from the disk where the trial ran."""
    found = {
        t.params["freeze"]: [RunFolder(disk / "s" / f"trial-{t.number}").read_history() for disk in disks]
        for t in trials
    }
    return {depth: [row["val/loss"] for row in max(histories, key=len)] for depth, histories in found.items()}
