"""A machine for the walk: Linux namespaces with an ``/etc``, ``/srv`` and ``/var`` of their own."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "nsenter", "setpriv", "mount", "ip", "nft", "nginx", "useradd")
INIT = """
import os, time
while True:
    try: os.wait()
    except ChildProcessError: time.sleep(0.1)
"""
"""The first process of a machine: it buries the others."""
TEMPORARY = "/tmp"  # noqa: S108 - where it lies, not a file in it
NETWORK = "10.77.0"
OWN_FOLDERS = ("srv", "var/lib", "var/log", "home")
START_S = 30.0


class CommandError(RuntimeError):
    """A command of the walk that ended otherwise than it should."""


def missing() -> str:
    """Why the walk cannot be held here; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root, to make users, networks and firewall rules of its own"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (make system)"
    words = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "true"]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        return "this machine lets nobody make namespaces"
    return ""


@dataclass
class Machine:
    """One machine.

    Attributes:
        name: its host name.
        folder: what lies in its /etc, /srv, /var/lib and /var/log.
        init: the process that holds it; when it ends, everything on the machine does.
        environment: for every command.
    """

    name: str
    folder: Path
    init: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def path(self, inside: str) -> Path:
        """Where a file of this machine lies outside it."""
        return self.folder / inside.lstrip("/")

    def words(self, command: str, user: str, at: str) -> list[str]:
        """What enters the machine and runs a command line there."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return [
            *("nsenter", "-t", str(self.init), "-m", "-n", "-p", "-u", "--"),
            *("env", "-i", *variables, f"HOME={at}"),
            *(become if user != "root" else []),
            *("bash", "-euc", f"cd {shlex.quote(at)}; {command}"),
        ]

    def run(
        self, command: str, user: str = "root", at: str = "/", statuses: tuple[int, ...] = (0,)
    ) -> str:
        """Run a command line; returns what it printed.

        Raises:
            CommandError: it ended with another status.
        """
        print(f"{self.name}{'#' if user == 'root' else '$'} {command}", flush=True)
        words = self.words(command, user, at)
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        output = ended.stdout + ended.stderr
        for line in output.splitlines()[-12:]:
            print(f"    {line}", flush=True)
        if ended.returncode not in statuses:
            raise CommandError(f"{self.name}: {command}: status {ended.returncode}\n{output}")
        return ended.stdout

    def start_unit(self, unit: str) -> "subprocess.Popen[bytes]":
        """Start what a unit of systemd's says, as its user; ends with the machine."""
        text = self.path(unit).read_text(encoding="utf-8").replace("\\\n", " ")
        values: dict[str, list[str]] = {}
        for line in text.splitlines():
            name, equals, value = line.partition("=")
            if equals:
                values.setdefault(name, []).append(value)
        for before in values.get("ExecStartPre", []):
            self.run(before.removeprefix("+"))
        [command], [user] = values["ExecStart"], values["User"]
        variables = " ".join(values.get("Environment", []))
        print(f"{self.name}# (as {user}) {' '.join(command.split()[:3])} ...", flush=True)
        [output] = values.get("StandardOutput", [f"append:/var/log/{Path(unit).stem}.out"])
        log = self.path(output.removeprefix("append:"))
        with log.open("ab") as stream:
            return subprocess.Popen(
                self.words(f"umask 077; exec env {variables} {command}", user, "/"),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@contextmanager
def machines(names: tuple[str, ...], out: Path) -> Iterator[dict[str, Machine]]:
    """Machines on one network, the first at ``10.77.0.1`` as aggregator.example; gone at the end.

    Args:
        names: of the machines.
        out: folder for what lies on them.
    """
    with ExitStack() as stack:
        switch = stack.enter_context(_machine("switch", out / "switch"))
        switch.run("ip link add br0 type bridge; ip link set br0 up")
        made = {name: stack.enter_context(_machine(name, out / name)) for name in names}
        for number, machine in enumerate(made.values(), start=1):
            _connect(switch, machine, number)
        yield made


@contextmanager
def _machine(name: str, folder: Path) -> Iterator[Machine]:
    folder.mkdir(parents=True)
    words = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"]
    holder = subprocess.Popen(
        [*words, "--mount-proc", sys.executable, "-c", INIT], start_new_session=True
    )
    try:
        machine = Machine(name, folder, _child_of(holder.pid), _environment())
        _furnish(machine)
        yield machine
    finally:
        holder.kill()
        holder.wait()
        shutil.rmtree(folder / "etc", ignore_errors=True)  # a copy of this machine's, secrets too
        shutil.rmtree(folder / "kept", ignore_errors=True)


def _child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        pids = children.read_text(encoding="ascii").split()
        if pids and b"os.wait" in Path(f"/proc/{pids[0]}/cmdline").read_bytes():
            return int(pids[0])
        time.sleep(0.02)
    raise CommandError("the namespaces did not come up")


def _environment() -> dict[str, str]:
    """Of every command: the gdshare that runs this, and no secret of the caller's."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(ROOT),
        "GDSHARE_PASSPHRASE": "a passphrase for the walk",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
        "LANG": "C.UTF-8",
    }


def _furnish(machine: Machine) -> None:
    """A fresh machine's folders: /etc as it is here, and empty ones for data."""
    folder = shlex.quote(str(machine.folder))
    lines = [f"cp -a /etc {folder}/etc", f"mount --bind {folder}/etc /etc"]
    for index, path in enumerate(_programs()):
        lines += [f"mkdir -p {folder}/kept/{index}", f"mount --bind {path} {folder}/kept/{index}"]
    for name in OWN_FOLDERS:
        lines += [f"mkdir -p {folder}/{name}", f"mount --bind {folder}/{name} /{name}"]
    lines += ["mkdir -p /var/lib/nginx /var/log/nginx", "mount -t tmpfs tmpfs /run"]
    for hidden in sorted({_closed(path) for path in _programs()} - {None}, key=str):
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {hidden}"]
    for index, path in enumerate(_programs()):
        lines += [f"mkdir -p {path}", f"mount --bind {folder}/kept/{index} {path}"]
    if not any(path.is_relative_to(TEMPORARY) for path in _places()):
        lines += [f"mount -t tmpfs -o mode=1777 tmpfs {TEMPORARY}"]
    lines += [f"hostname {machine.name}", "ip link set lo up"]
    entry = [f"{NETWORK}.1 aggregator.example", f"127.0.0.1 {machine.name}"]
    lines += [f"echo {shlex.quote(line)} >>/etc/hosts" for line in entry]
    # The folders are bound from outside before anything is hidden: nothing below runs outside.
    words = ["nsenter", "-t", str(machine.init), "-m", "-n", "-p", "-u", "--"]
    made = subprocess.run([*words, "bash", "-euc", "\n".join(lines)], check=False)
    if made.returncode:
        raise CommandError(f"{machine.name} could not be furnished")


def _programs() -> list[Path]:
    """Folders of Python and gdshare that the machines' users must be able to read."""
    return [path for path in _places() if _closed(path) is not None]


def _places() -> list[Path]:
    paths = (sys.base_prefix, sys.prefix, ROOT)
    return list(dict.fromkeys(Path(path).resolve() for path in paths))


def _closed(path: Path) -> Path | None:
    """The first folder above that other users may not enter."""
    above = [folder for folder in reversed(path.parents) if folder != Path("/")]
    return next((folder for folder in above if not folder.stat().st_mode & 0o001), None)


def _connect(switch: Machine, machine: Machine, number: int) -> None:
    """A cable from the machine to the switch."""
    cable = f"ip link add p{number} netns {switch.init} type veth"
    peer = f"peer name eth0 netns {machine.init}"
    subprocess.run(f"{cable} {peer}".split(), check=True)
    switch.run(f"ip link set p{number} master br0 up")
    machine.run(f"ip address add {NETWORK}.{number}/24 dev eth0; ip link set eth0 up")


def send(path: str, sender: Machine, receiver: Machine, to: str) -> None:
    """Mail: copy a file from one machine to another, where anybody may read it."""
    print(f"{sender.name} sends {Path(path).name} to {receiver.name}", flush=True)
    target = receiver.path(to)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sender.path(path), target / Path(path).name)
    (target / Path(path).name).chmod(0o644)
