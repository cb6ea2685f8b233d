"""Run in the child, before the service: fetch its dependencies if they are missing, then become the service.

``python -I launch.py HOW N install… command…``: the first N words are the install command. So the output of the install is in the
service's log, and doce never waits for it. HOW is ``become``, or ``stay`` for a service that is run as a child, or the file that
takes the exit code of such a one.
"""

import os
import resource
import signal
import subprocess
import sys

MAX_FILES = 65_536


def main() -> None:
    how, count = sys.argv[1], int(sys.argv[2])
    install, command = sys.argv[3 : 3 + count], sys.argv[3 + count :]
    be_plain()
    if install:
        fetch(install)
    # By this, doce knows the service from what it starts: all carry the tag, one carries its own id.
    os.putenv("DOCE_LEADER", str(os.getpid()))
    if how != "become":
        stay(command, "" if how == "stay" else how)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        fail(f"{command[0]} cannot be started: {error.strerror}", 127)


def stay(command: list[str], exit_file: str) -> None:
    """Run the service as a child: for one that writes over its own environment, by which doce knows it (nginx does), and for one
    whose end doce may not be there to see. Signals go to the whole group, so the service has them already.
    """
    try:
        child = subprocess.Popen(command, preexec_fn=die_together)
    except OSError as error:
        fail(f"{command[0]} cannot be started: {error.strerror}", 127)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: None)
    code = child.wait()
    code = code if code >= 0 else 128 - code
    if exit_file:
        with open(f"{exit_file}.new", "w") as file:
            file.write(str(code))
        os.replace(f"{exit_file}.new", exit_file)
    sys.exit(code)


def die_together() -> None:
    """In the child, on Linux: it ends when its parent is killed, else it would hold its port and doce would know nothing of it."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def be_plain() -> None:
    """Signals as a login shell leaves them, whatever started doce (nohup, a shell's &); no core files, enough open files."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MAX_FILES if most == resource.RLIM_INFINITY else min(most, MAX_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def fetch(install: list[str]) -> None:
    """Run `install` while there is no `node_modules`, or one that an interrupted install left half done."""
    half = os.path.join(os.path.expanduser("~"), ".doce-installing")
    if os.path.isdir("node_modules") and not os.path.exists(half):
        return
    open(half, "w").close()
    print(f"installing dependencies: {' '.join(install)}", flush=True)
    try:
        done = subprocess.run(install, check=False).returncode
    except OSError as error:
        fail(f"{install[0]} cannot be started: {error.strerror}", 127)
    if done:
        fail(f"dependencies could not be installed (exit code {done})", done if done > 0 else 128 - done)
    os.unlink(half)


def fail(reason: str, code: int) -> None:
    print(f"error: {reason}", flush=True)
    sys.exit(code)


main()
