"""The guard of the process in which the user's program runs: what is written outside the scratch folder, sent over the network
or started as another program is refused, said once with the option that allows it, and the program meets a `PermissionError`.

An audit hook (PEP 578) sees what Python code does; `mllint_bio.observe.landlock` covers native code where the kernel can. Neither
is meant to hold an attacker: docs/confirm-sandbox.md says what is out of reach.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mllint_bio.observe import instrument, places
from mllint_bio.observe.job import Limits
from mllint_bio.observe.log import Line

_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Terminals, sinks, shared memory of worker processes, accelerators; `mllint_bio.observe.child` gives the kernel the same list.
DEVICE_FOLDERS = ("/dev/shm", "/dev/pts", "/dev/dri")
DEVICE_FILES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "tty", "ptmx", "random", "urandom", "kfd", "nvidia*"))
_DEVICES = (*(f"{folder}/" for folder in DEVICE_FOLDERS), *(name.rstrip("*") for name in DEVICE_FILES))
# What libraries ask other programs when they are imported: refused like all others, but nobody needs to hear of it.
_ENQUIRIES = frozenset(
    {"lscpu", "uname", "ldconfig", "git", "nvidia-smi", "fc-list", "sysctl", "gcc", "cc", "objdump", "ld", "sh"}
)
RUN_VARIABLE = "MLLINT_BIO_RUN"  # names the run in the environment of every process that belongs to it
_TOKEN = os.environb.get(RUN_VARIABLE.encode(), b"")  # the program may change its environment


class Refused(PermissionError):
    """What the program meets when it does something that the sandbox does not let through."""


@dataclass(frozen=True)
class Policy:
    """What is let through. writable: real paths of folders; project, root: the scratch copy and what it is a copy of;
    kernel_protects: the kernel refuses writes of native code as well."""

    writable: tuple[str, ...]
    project: str
    root: str
    network: bool = False
    processes: bool = False
    kernel_protects: bool = False


class Guard:
    """Decides on audit events. `refusals` is the file to which refusals are appended, by forked workers as well."""

    def __init__(self, policy: Policy, refusals: str) -> None:
        self.policy = policy
        self.refusals = refusals
        self._sink = os.open(refusals, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._writable = tuple(os.path.join(folder, "") for folder in policy.writable)
        self._seen: dict[tuple[Any, ...], int] = {}
        self._busy = threading.local()
        self._checks: dict[str, Callable[..., None]] = {
            "open": self._open,
            "os.truncate": lambda path, *_: self._change(path, "changing"),
            "os.remove": lambda path, at=-1: self._change(path, "removing", at, itself=True),
            "os.rmdir": lambda path, at=-1: self._change(path, "removing", at, itself=True),
            "os.mkdir": lambda path, _mode=0, at=-1: self._make(path, "making the folder", at),
            "os.rename": self._rename,
            "os.link": self._hard_link,
            "os.symlink": lambda _aim, path, at=-1: self._make(path, "making the link", at),
            "os.chmod": lambda path, _mode, at=-1: self._change(path, "changing permissions of", at),
            "os.chown": lambda path, _user, _group, at=-1: self._change(path, "changing the owner of", at),
            "os.chflags": lambda path, *_: self._change(path, "changing flags of"),
            "os.utime": lambda path, _times=None, _ns=None, at=-1: self._change(path, "changing times of", at),
            "os.setxattr": lambda path, *_: self._change(path, "changing attributes of"),
            "os.removexattr": lambda path, *_: self._change(path, "changing attributes of"),
            "sqlite3.connect": self._database,
            "socket.connect": lambda _socket, address: self._address(_socket, address, "connecting to", own=True),
            "socket.sendto": lambda _socket, address: self._address(_socket, address, "sending to", own=True),
            "socket.sendmsg": lambda _socket, address: self._address(_socket, address, "sending to", own=True),
            "socket.bind": lambda _socket, address: self._address(_socket, address, "listening on", own=False),
            "socket.getaddrinfo": lambda host, *_: self._name(host),
            "socket.gethostbyname": lambda host: self._name(host),
            "socket.gethostbyaddr": lambda host: self._name(host),
            "subprocess.Popen": lambda executable, arguments, *_: self._process(executable, arguments),
            "os.system": lambda command: self._process(command, None),
            "os.exec": lambda path, *_: self._process(path, None),
            "os.posix_spawn": lambda path, arguments, *_: self._process(path, arguments),
            "os.spawn": lambda _mode, path, *_: self._process(path, None),
            "os.kill": lambda pid, signal: self._signal(pid, signal),
            "os.killpg": lambda group, signal: self._signal(-group, signal),
        }

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook. Raises Refused."""
        check = self._checks.get(event)
        if check is None or getattr(self._busy, "on", False):
            return
        self._busy.on = True
        try:
            check(*arguments)
        except (Refused, KeyboardInterrupt):
            raise
        except (TypeError, ValueError, OSError):
            pass  # arguments that the call itself will object to
        finally:
            self._busy.on = False

    # -- files ---------------------------------------------------------------------------------------------------

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int):
            return
        if not isinstance(flags, int):
            flags = 0
        if not flags & _WRITE_FLAGS and not (isinstance(mode, str) and not set(mode).isdisjoint("wax+")):
            return
        text = os.fsdecode(path)
        self._own_copy(text, empty=bool(flags & os.O_TRUNC))
        self._change(text, "writing")

    def _own_copy(self, path: str, *, empty: bool = False) -> None:
        """Large files of the copy are links to the original: before the first write, a copy takes the place of the link."""
        if not os.path.islink(path):
            return
        place = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        aim = os.readlink(path)
        original = self.policy.root + place[len(self.policy.project) :]
        if not place.startswith(os.path.join(self.policy.project, "")) or aim != original or os.path.islink(original):
            return
        os.unlink(place)
        if not empty:
            shutil.copy2(original, place)

    def _change(self, path: Any, what: str, at: int = -1, *, itself: bool = False) -> None:
        """Refuse a change outside; `itself`: of a link, the link is changed and not what it leads to."""
        if isinstance(path, int):
            return
        place = self._real(path, at, itself)
        if self._inside(place):
            return
        if itself and not os.path.lexists(place):
            return  # the call fails by itself
        self._refuse(f"{what} {place}", f"--allow-write {os.path.dirname(place) or place}", place)

    def _make(self, path: Any, what: str, at: int = -1) -> None:
        place = self._real(path, at, True)
        if not self._inside(place) and not os.path.lexists(place):  # else the call fails by itself, as `makedirs` expects it to
            self._refuse(f"{what} {place}", f"--allow-write {os.path.dirname(place)}", place)

    def _rename(self, source: Any, target: Any, source_at: int = -1, target_at: int = -1) -> None:
        self._change(source, "moving", source_at, itself=True)
        place = self._real(target, target_at, True)
        if not self._inside(place):
            self._refuse(f"writing {place}", f"--allow-write {os.path.dirname(place)}", place)

    def _hard_link(self, source: Any, target: Any, source_at: int = -1, target_at: int = -1) -> None:
        self._change(source, "linking to", source_at)  # writing to the new name would change the old one
        self._make(target, "making the link", target_at)

    def _database(self, path: Any) -> None:
        if self.policy.kernel_protects or not isinstance(path, (str, bytes, os.PathLike)):
            return
        text = os.fsdecode(path)
        if text not in ("", ":memory:") and not (text.startswith("file:") and "mode=ro" in text):
            self._change(text.removeprefix("file:").split("?")[0], "opening the database")

    def _real(self, path: Any, at: int, itself: bool) -> str:
        text = os.fsdecode(path)
        if at >= 0 and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{at}"), text)
        if not itself:
            return os.path.realpath(text)
        folder, name = os.path.split(os.path.abspath(text))
        return os.path.join(os.path.realpath(folder), name)

    def _inside(self, place: str) -> bool:
        if place.startswith(_DEVICES) or place.startswith(f"/proc/{os.getpid()}/"):
            return True
        return place.startswith(self._writable) or place in self.policy.writable

    # -- network -------------------------------------------------------------------------------------------------

    def _address(self, socket: Any, address: Any, what: str, *, own: bool) -> None:
        if self.policy.network or not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[1], int):
            return  # a path (AF_UNIX), or a family that does not leave the machine
        host, port = str(address[0]), address[1]
        if _is_loopback(host) and (not own or _listens_here(port)):
            return
        self._refuse(f"{what} {host or 'all addresses'}:{port}", "--allow-network")

    def _name(self, host: Any) -> None:
        text = os.fsdecode(host) if isinstance(host, (str, bytes)) else ""
        if not self.policy.network and text and not _is_loopback(text) and not _is_address(text) and text != _host_name():
            self._refuse(f"looking up {text}", "--allow-network")

    # -- processes -----------------------------------------------------------------------------------------------

    def _process(self, executable: Any, arguments: Any) -> None:
        if self.policy.processes:
            return
        command = executable if executable is not None else arguments
        if isinstance(arguments, (list, tuple)) and arguments:
            command = arguments
        words = [os.fsdecode(word) for word in ([command] if isinstance(command, (str, bytes, os.PathLike)) else command)]
        text = " ".join(words)
        line = text if len(text) <= 60 else text[:57] + "..."
        name = os.path.basename(words[0].split()[0]) if words and words[0].split() else ""
        self._refuse(f"starting the program {line!r}", "--allow-processes", quiet=name in _ENQUIRIES and not _called_by_user())

    def _signal(self, pid: int, signal: int) -> None:
        if signal == 0 or self.policy.processes:
            return
        try:
            ours = pid == 0 or os.getsid(abs(pid)) == os.getsid(0) or _is_of_run(abs(pid))
        except ProcessLookupError:
            return
        except PermissionError:
            ours = False
        if pid == -1 or not ours:
            self._refuse(f"sending signal {int(signal)} to process {pid}", "--allow-processes")

    # -- saying so -----------------------------------------------------------------------------------------------

    def _refuse(self, what: str, option: str, path: str = "", *, quiet: bool = False) -> None:
        place: Line = places.innermost(sys._getframe()) or ("", 0)
        if not quiet:
            self.note(what, option, place)
        message = f"refused by mllint-bio confirm ({option} allows it): {what}"
        raise Refused(errno.EACCES, message, *((path,) if path else ()))

    def note(self, what: str, option: str, place: Line) -> None:
        """Write down that something was refused at a place of the user's code."""
        key = (what, option, place)
        count = self._seen[key] = self._seen.get(key, 0) + 1
        if count & (count - 1) == 0:  # 1, 2, 4, ...: a loop of refusals must not fill the disk
            record = {"what": what, "option": option, "path": place[0], "line": place[1], "count": count - count // 2}
            with suppress(OSError):
                os.write(self._sink, json.dumps(record).encode() + b"\n")


def install(policy: Policy, refusals: str) -> Guard:
    """Put this process under guard, for good: audit hooks cannot be removed."""
    guard = Guard(policy, refusals)
    sys.addaudithook(guard)
    _guard_spawned_workers(policy, refusals)
    return guard


def install_inherited(text: str) -> None:
    """Put a worker process that `multiprocessing` spawned under the guard of the process that spawned it (`text`: JSON)."""
    policy, refusals, root = json.loads(text)
    policy["writable"] = tuple(policy["writable"])
    places.set_project(policy["project"], root)
    instrument.set_hooks(instrument.Hooks(), Limits())  # functions that are sent here by value carry our calls
    install(Policy(**policy), refusals)


def _guard_spawned_workers(policy: Policy, refusals: str) -> None:
    """Workers that `multiprocessing` starts as new interpreters raise no audit event; they run on, with a guard of their own."""
    import _posixsubprocess

    start = _posixsubprocess.fork_exec
    policy_text = json.dumps([vars(policy), refusals, policy.root])
    prelude = f"from mllint_bio.observe import guard; guard.install_inherited({policy_text!r}); "

    def fork_exec(arguments: Any, executables: Any, *rest: Any) -> Any:
        words = list(arguments)
        plain = [os.fsdecode(word) for word in words]
        if "-c" in plain and plain[0] == sys.executable:
            code = plain.index("-c") + 1
            if plain[code].startswith("from multiprocessing."):
                words[code] = os.fsencode(prelude + plain[code])
        return start(words, executables, *rest)

    _posixsubprocess.fork_exec = fork_exec


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def _host_name() -> str:
    return os.uname().nodename


def _listens_here(port: int) -> bool:
    """Whether a process of this run listens on the port of this machine; elsewhere than on Linux that cannot be told."""
    if sys.platform != "linux":
        return True
    sockets = set(_listening(port))
    if not sockets:
        return True  # nobody listens: the connection fails by itself
    for pid in _processes_of_run():
        with suppress(OSError):
            for handle in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if os.readlink(handle.path) in sockets:
                        return True
    return False


def _listening(port: int) -> Iterable[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"):
        with suppress(OSError), open(table) as lines:
            for line in list(lines)[1:]:
                part = line.split()
                if int(part[1].rsplit(":", 1)[1], 16) == port and part[3] in ("0A", "07"):
                    yield f"socket:[{part[9]}]"


def _processes_of_run() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and _is_of_run(int(name)))


def _is_of_run(pid: int) -> bool:
    if pid == os.getpid():
        return True
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return bool(_TOKEN) and RUN_VARIABLE.encode() + b"=" + _TOKEN in file.read().split(b"\0")
    except OSError:
        return False


def _called_by_user() -> bool:
    """Whether the code that starts the program is the user's own, seen past the standard library."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        filename = frame.f_code.co_filename
        if places.locate(filename, frame.f_lineno) is not None:
            return True
        if "site-packages" in filename or os.path.basename(filename) in ("platform.py", "util.py", "webbrowser.py"):
            return False
    return False
