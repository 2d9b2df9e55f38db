"""Start a command again in several processes through torchrun, and bring its failure back as one sentence."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from kinfold.errors import KinfoldError

__all__ = ["is_main", "is_worker", "relaunch", "stop_on_terminate", "tell_parent"]

SENTENCE = "KINFOLD_FAILURE_FILE"


def is_worker() -> bool:
    """Whether torchrun started this process."""
    return "WORLD_SIZE" in os.environ


def is_main() -> bool:
    """Whether this process is the one that writes and speaks: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def tell_parent(sentence: str) -> bool:
    """Leave the sentence of a failed worker for the process that started it; False when nobody waits for it.

    Of several workers the first to fail is heard: the others fail because it did.
    """
    path = os.environ.get(SENTENCE)
    if path is None:
        return False
    with contextlib.suppress(FileExistsError), open(path, "x", encoding="utf-8", errors="backslashreplace") as file:
        file.write(sentence)
    return True


def relaunch(processes: int, arguments: Sequence[str], *, verbose: bool = False) -> None:
    """Run ``kinfold ARGUMENTS`` in several processes on this machine and wait for them.

    Parameters
    ----------
    processes : int
        How many.
    arguments : sequence of str
        What followed ``kinfold`` on the command line.
    verbose : bool
        Show what torchrun itself writes to stderr.

    Raises
    ------
    KinfoldError
        With the sentence of the first process that failed.
    KeyboardInterrupt
        When stopped by Ctrl-C, after the processes have ended.
    """
    with tempfile.TemporaryDirectory(prefix="kinfold-") as folder:
        sentence, noise = Path(folder) / "sentence", Path(folder) / "stderr"
        threads = str(max(1, (os.cpu_count() or 1) // processes))
        environment = {"OMP_NUM_THREADS": threads, **os.environ, SENTENCE: str(sentence)}
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        with noise.open("wb") as stream:
            process = subprocess.Popen(
                [*command, "-m", "kinfold", *arguments], env=environment, stderr=None if verbose else stream
            )
            code = _wait(process)
        if code == 0:
            return
        told = sentence.read_text(encoding="utf-8") if sentence.exists() else ""
        heard = noise.read_text(encoding="utf-8", errors="replace").strip() if noise.exists() else ""
    killed = re.search(r"exitcode\s*:\s*-(9|11|7|6)\b", heard)
    if killed:
        memory = ", by the system for want of memory perhaps" if killed[1] == "9" else ""
        told = told[:1].upper() + told[1:]
        told = f"One of the {processes} processes was killed (signal {killed[1]}{memory}). {told}".strip()
    last = " ".join(heard.splitlines()[-1:])
    raise KinfoldError(
        told or f"One of the {processes} processes ended with code {code}: {last} (--verbose shows more)"
    )


def stop_on_terminate() -> None:
    """Take torchrun's request to end, which follows the end of another process, as a Ctrl-C: what is saved is said."""
    if is_worker() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for torchrun to end; a Ctrl-C reaches it from the terminal too, so let it stop its workers first."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            process.wait(timeout=60)
        if process.poll() is None:
            process.kill()
            process.wait()
        raise
