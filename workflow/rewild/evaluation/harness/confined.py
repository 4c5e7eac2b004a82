"""The inside of the sandbox (rewild.evaluation.harness.sandbox): run as a program, with Python's own library.

It reads a job as JSON, leaves the machine behind and runs the job's program:

1. new namespaces of users, files, network, processes, IPC and host name (Linux);
2. a root that is empty but for the folders of Python and its libraries, read-only, without the rest;
3. no capabilities, no way to new ones; bounds on memory, CPU, files and output;
4. a seccomp filter that refuses new processes, new programs, sockets and new namespaces.

Then it says in one line what became of the program, beginning with a word that the program is not told.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig

MEMORY = 2 << 30  # bytes of address space
USER, FILES, NET, PIDS, IPC, NAMES = 0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x08000000, 0x04000000
BIND, REC, PRIVATE, REMOUNT = 4096, 16384, 1 << 18, 32
READ_ONLY, NO_SUID, NO_DEV = 1, 2, 4
RELATIME, MOUNT_SETATTR, RECURSIVE = 1 << 21, 442, 0x8000
ROOTS = (
    "/tmp",
    "/mnt",
    "/srv",
    "/media",
    "/var/tmp",
)  # folders to mount over, in a namespace that is gone soon
NO_NEW_PRIVILEGES, SECCOMP, DEATH_SIGNAL = 38, 22, 1

# Numbers of system calls: arch of the audit, and name → number.
MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            **{
                "socket": 41,
                "socketpair": 53,
                "clone": 56,
                "fork": 57,
                "vfork": 58,
                "execve": 59,
                "ptrace": 101,
            },
            **{"kill": 62, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "unshare": 272},
            **{"setns": 308, "process_vm_readv": 310, "bpf": 321, "execveat": 322, "io_uring_setup": 425},
            **{"open_tree": 428, "fsopen": 430, "clone3": 435, "tkill": 200, "tgkill": 234, "keyctl": 250},
            **{"memfd_create": 319, "userfaultfd": 323},
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            **{"socket": 198, "socketpair": 199, "clone": 220, "execve": 221, "ptrace": 117, "kill": 129},
            **{"pivot_root": 41, "chroot": 51, "mount": 40, "umount2": 39, "unshare": 97, "setns": 268},
            **{"process_vm_readv": 270, "bpf": 280, "execveat": 281, "io_uring_setup": 425, "open_tree": 428},
            **{"fsopen": 430, "clone3": 435, "tkill": 130, "tgkill": 131, "keyctl": 219, "memfd_create": 279},
            **{"userfaultfd": 282},
        },
    ),
}


class NoSandboxError(Exception):
    """The machine does not allow a step."""


libc = ctypes.CDLL(None, use_errno=True)


def call(what: str, result: int) -> None:
    """Raise :class:`NoSandboxError` if a call of the C library failed."""
    if result != 0:
        raise NoSandboxError(f"{what}: {os.strerror(ctypes.get_errno())}")


def leave_the_machine(seconds: float) -> None:
    """Steps 1 and 2, and from here on process 1 of a namespace of its own."""
    user, group = os.getuid(), os.getgid()
    call("user namespace", libc.unshare(USER | FILES | NET | PIDS | IPC | NAMES))
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {user} 1"), ("gid_map", f"1000 {group} 1")):
        try:
            with open(f"/proc/self/{name}", "w") as handle:
                handle.write(text)
        except OSError as error:
            raise NoSandboxError(f"{name}: {error.strerror}") from error
    call("private mounts", libc.mount(b"none", b"/", None, REC | PRIVATE, None))
    needed = libraries()
    root = next(
        os.fsencode(p) for p in ROOTS if os.path.isdir(p) and not any(n.startswith(p) for n in needed)
    )
    call("an empty root", libc.mount(b"none", root, b"tmpfs", NO_SUID | NO_DEV, b"size=1m,mode=755"))
    for folder in needed:
        inside = root + os.fsencode(folder)
        os.makedirs(inside, exist_ok=True)
        call(folder, libc.mount(os.fsencode(folder), inside, None, BIND | REC, None))
        make_read_only(folder, inside)
    for link in ("/lib", "/lib64"):
        if os.path.islink(link):
            os.symlink(os.readlink(link), root + os.fsencode(link))
    os.makedirs(root + b"/old")
    os.chdir(root)
    call("the new root", libc.pivot_root(b".", b"old"))
    os.chdir("/")
    call("the old root", libc.umount2(b"/old", 2))
    os.rmdir("/old")
    call(
        "a read-only root", libc.mount(None, b"/", None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV, None)
    )
    child = os.fork()
    if child:
        # A program may ignore its own alarm; this process ends with this one, and process 1 and all with it.
        signal.alarm(int(seconds) + 3)
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    libc.prctl(DEATH_SIGNAL, signal.SIGKILL)


def make_read_only(folder: str, inside: bytes) -> None:
    """A mounted folder with all that is mounted below it; before Linux 5.12, the folder alone."""
    wanted = struct.pack("QQQQ", READ_ONLY | NO_SUID | NO_DEV, 0, 0, 0)
    if libc.syscall(MOUNT_SETATTR, -100, inside, RECURSIVE, wanted, len(wanted)) == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:
        raise NoSandboxError(f"{folder}, read-only: {os.strerror(ctypes.get_errno())}")
    now = os.statvfs(inside).f_flag  # what the machine locks must be asked for again
    kept = (now & (os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)) | (RELATIME if now & 4096 else 0)
    flags = REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV | kept
    call(f"{folder}, read-only", libc.mount(None, inside, None, flags, None))


def libraries() -> list[str]:
    """Folders that Python needs to import its own library: nothing that belongs to a user."""
    paths = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    paths |= {os.path.join(os.path.realpath(sys.base_prefix), "lib")} if sys.base_prefix != "/usr" else set()
    paths |= {p for p in ("/lib", "/lib64", "/usr/lib", "/usr/lib64") if not os.path.islink(p)}
    there = sorted(p for p in paths if os.path.isdir(p))
    return [p for p in there if not any(p != q and p.startswith(q + "/") for q in there)]


def bound(seconds: float) -> None:
    """Step 3's bounds; at the end of the CPU time the process is ended."""
    cpu = int(seconds) + 1
    for name, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
    ):
        hard = resource.getrlimit(name)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (least, least))


def give_up_rights() -> None:
    """Step 3: no capability is left, and none can be had again."""
    call("no new privileges", libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    header = struct.pack("Ii", 0x20080522, 0)
    call("no capabilities", libc.capset(header, bytes(24)))


def filter_calls() -> None:
    """Step 4: system calls that reach beyond the process fail with "operation not permitted"."""
    arch, numbers = MACHINES[platform.machine()]
    refuse = len(numbers)
    code = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, arch),
        (0x06, 0, 0, 0x80000000),  # another one: end the process
        (0x20, 0, 0, 0),  # load the number
        (0x35, refuse + 1, 0, 0x40000000),  # x32's numbers: refused
        *((0x15, refuse - i, 0, number) for i, number in enumerate(numbers.values())),
        (0x06, 0, 0, 0x7FFF0000),  # allow
        (0x06, 0, 0, 0x00050000 | errno.EPERM),
    ]
    program = b"".join(struct.pack("HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(program)
    fprog = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    call("a filter of system calls", libc.prctl(SECCOMP, 2, fprog, 0, 0))


def main() -> None:
    """Read a job, run it, say what came of it."""
    job = json.loads(sys.stdin.buffer.read())
    word, seconds = job["word"], float(job["seconds"])
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)

    def say(text: str) -> None:
        os.write(out, f"{word} {text}\n".encode("utf-8", "replace"))
        os._exit(0)

    try:
        if platform.system() != "Linux" or platform.machine() not in MACHINES:
            raise NoSandboxError(f"it is made for Linux on {' or '.join(MACHINES)}")
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        import random  # modules that need the machine's files are imported while they are there

        random.seed(0)
        if job["confined"]:
            leave_the_machine(seconds)
        bound(seconds)
        give_up_rights()
        if job["confined"]:
            filter_calls()
    except (NoSandboxError, OSError, KeyError) as error:
        say(f"no sandbox: {error}")

    def late(*_: object) -> None:
        say("timed out")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        exec(compile(job["program"], "<program>", "exec"), {"__name__": "__main__"})
    except BaseException as error:  # whatever the program raises, SystemExit included
        said = f"failed: {type(error).__name__}"
    else:
        said = "passed"
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(said)


if __name__ == "__main__":
    main()
