"""Run in the child, before the service: fetch its dependencies if they are missing, then become the service.

``python -I launch.py N install… command…``: the first N words are the install command. So the output of the install is
in the service's log, and doce never waits for it.
"""

import os
import resource
import subprocess
import sys


def main() -> None:
    count = int(sys.argv[1])
    install, command = sys.argv[2 : 2 + count], sys.argv[2 + count :]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if install and not os.path.isdir("node_modules"):
        print(f"installing dependencies: {' '.join(install)}", flush=True)
        done = subprocess.run(install, check=False)
        if done.returncode:
            print(f"error: dependencies could not be installed (exit code {done.returncode})", flush=True)
            sys.exit(done.returncode)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"error: {command[0]} cannot be started: {error.strerror}", flush=True)
        sys.exit(127)


main()
