"""A Slurm cluster of one node on this machine, from Debian's slurm-wlm and munge, for as long as a test needs it.

Everything lives in one folder (key, socket, state, logs); the ports are free ones, so that a cluster which the machine belongs
to is not touched. Starting needs root, because slurmd starts jobs under the user id of their owner.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("setpriv", "munged", "mungekey", "slurmctld", "slurmd", "sbatch", "sinfo")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no cluster can be started here; empty if it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "starting a Slurm cluster needs root"
    absent = [name for name in PROGRAMS if _program(name) is None]
    return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)" if absent else ""


@contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """Start the cluster in an empty folder and give the path of its slurm.conf; everything is stopped at the end.

    Raises RuntimeError with the logs if it does not come up within a minute.
    """
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(host=host, folder=folder, controller=_free_port(), daemon=_free_port(), cpus=os.cpu_count() or 1)
    )
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    key = folder / "munge.key"
    subprocess.run([_program("mungekey"), "--create", "--keyfile", key], check=True)
    daemons: list[subprocess.Popen[bytes]] = []

    def start(*command: object) -> None:
        log = (folder / f"{Path(str(command[0])).name}.out").open("wb")
        mortal = ["setpriv", "--pdeathsig", "KILL"]  # they must not outlive tests that are killed
        daemons.append(
            subprocess.Popen(
                [*mortal, *(str(part) for part in command)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        )

    try:
        start(
            *(_program("munged"), "--foreground", "--force", "--key-file", key, "--socket", folder / "munge.socket"),
            *("--pid-file", folder / "munged.pid", "--log-file", folder / "munged.log", "--seed-file", folder / "munge.seed"),
        )
        _until(lambda: (folder / "munge.socket").exists(), folder)
        start(_program("slurmctld"), "-D", "-c", "-f", configuration)
        start(_program("slurmd"), "-D", "-c", "-f", configuration)
        _until(lambda: "idle" in _states(environment), folder)
        try:
            yield configuration
        finally:
            subprocess.run(["scancel", "--me"], env=environment, check=False)
            _until(lambda: not _queue(environment), folder)  # steps outlive slurmd
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _states(environment: dict[str, str]) -> str:
    return subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, env=environment).stdout


def _queue(environment: dict[str, str]) -> str:
    return subprocess.run(["squeue", "-h"], capture_output=True, text=True, env=environment).stdout


def _until(ready: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + 60
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in folder.glob("*.log"))
            raise RuntimeError(f"Slurm did not start:\n{logs}")
        time.sleep(0.2)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
