"""Run as ``python -m doce.notebook.keeper FOLDER``: a doce for one notebook kernel, which ends when the kernel does, however that ends.

The kernel holds the other end of this process's stdin; when that closes, doce is asked to stop in order, with the sites it runs: nobody
would be there to stop them. They are up again with the next kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "serve.log").open("a") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "doce", "serve", "--data", str(folder), "--port", "0", "--leave-nothing"],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )

    def wait_for_the_kernel() -> None:
        # Without a buffer: one that is being read cannot be torn down when doce ends first.
        while os.read(sys.stdin.fileno(), 1):
            continue
        serving.send_signal(signal.SIGTERM)

    threading.Thread(target=wait_for_the_kernel, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: serving.send_signal(signal.SIGTERM))
    return serving.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
