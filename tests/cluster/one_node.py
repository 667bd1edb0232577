"""A cluster of one node on this machine, from Debian's packages: slurmctld, slurmd, slurmdbd, munge, mariadb-server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db", "sbatch")
MUNGE = Path("/run/munge/munge.socket.2")  # where SLURM's programs look for it
CONFIG = """
ClusterName=frostline
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
KillWait=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={accounts}
JobAcctGatherFrequency=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
ACCOUNTS = """
DbdHost=localhost
DbdPort={accounts}
SlurmUser=root
AuthType=auth/munge
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""
USER = """
create database slurm_acct_db;
create user 'slurm'@'localhost' identified by 'slurm'; create user 'slurm'@'%' identified by 'slurm';
grant all on slurm_acct_db.* to 'slurm'@'localhost'; grant all on slurm_acct_db.* to 'slurm'@'%';
"""


def missing() -> str:
    """Why there can be no such cluster here; "" where there can."""
    gone = [name for name in PROGRAMS if shutil.which(name) is None]
    if gone:
        return f"needs {', '.join(gone)}: apt-get install slurmctld slurmd slurmdbd munge mariadb-server"
    if os.geteuid():
        return "needs root, as SLURM's daemons do"
    return "another munged runs here" if MUNGE.exists() and _munge_answers() else ""


@contextmanager
def one_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start all daemons, with what they keep in `folder`, and end them; yields the environment that finds them."""
    started: list[subprocess.Popen[bytes]] = []
    ports = dict(zip(("controller", "node", "accounts", "database"), _free_ports(4), strict=True))
    values = {"host": socket.gethostname().split(".")[0], "cores": os.cpu_count(), "folder": folder, **ports}
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def daemon(*command: str) -> None:
        with (folder / f"{Path(command[0]).name}.out").open("wb") as out:
            started.append(subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=out))

    def run(*command: str, given: str | None = None) -> str:
        done = subprocess.run(command, env=os.environ | environment, input=given, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr or done.stdout}")
        return done.stdout

    for name in ("state", "spool", "db"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(CONFIG.format(**values))
    (folder / "slurmdbd.conf").write_text(ACCOUNTS.format(**values))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    MUNGE.parent.mkdir(exist_ok=True)
    try:
        files = {name: f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")}
        daemon("munged", "--foreground", "--force", f"--key-file={folder}/munge.key", *files.values())
        own = ("--no-defaults", f"--datadir={folder}/db", "--user=root")
        run("mariadb-install-db", *own, "--auth-root-authentication-method=normal")
        place = f"--socket={folder}/mysql.sock"
        daemon("mariadbd", *own, place, f"--port={ports['database']}", "--bind-address=127.0.0.1")
        _until(lambda: run("mariadb", "--no-defaults", place, "-u", "root", given=USER))
        daemon("slurmdbd", "-D")
        _until(lambda: run("sacctmgr", "-i", "add", "cluster", "frostline"))
        daemon("slurmctld", "-D")
        daemon("slurmd", "-D")
        _until(lambda: run("sinfo", "-h", "-t", "idle", "-o", "%N").strip() or 1 / 0)
        yield environment
    finally:
        with suppress(RuntimeError):
            run("scancel", "--signal=KILL", "--user=root")
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def _until(works: Callable[[], object]) -> None:
    """Wait until it does, a minute at most."""
    for _ in range(60):
        with suppress(RuntimeError, ZeroDivisionError):
            works()
            return
        time.sleep(1)
    works()


def _munge_answers() -> bool:
    return subprocess.run(["munge", "-n"], capture_output=True).returncode == 0


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
