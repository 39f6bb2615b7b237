"""The program under proof, and what its files hold; see run.sh."""

import gzip
import os
import pathlib
import shutil
import subprocess
import time


class Failed(Exception):
    """A run that ended otherwise than it should."""


def libraries():
    """Folders of NVIDIA's wheels beside PyTorch, for LD_LIBRARY_PATH."""
    try:
        import nvidia
    except ImportError:
        return []
    roots = [pathlib.Path(path) for path in nvidia.__path__]
    return [str(lib) for root in roots for lib in sorted(root.glob("*/lib"))]


def unpacked(program, work):
    """The program's file; one that is packed is unpacked beside the work."""
    program = pathlib.Path(program).resolve()
    if program.suffix == ".gz":
        to = work / "pliant"
        with gzip.open(program) as packed, open(to, "wb") as file:
            shutil.copyfileobj(packed, file)
        program = to
    if not os.access(program, os.X_OK):
        program.chmod(program.stat().st_mode | 0o111)
    return str(program)


class Pliant:
    def __init__(self, program, work, end):
        self.program, self.work, self.end = unpacked(program, work), work, end
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("PLIANT_") or name.startswith("PLIANT_STANDIN")}
        own = self.environment.get("LD_LIBRARY_PATH", "")
        self.environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [own, *libraries()]))
        self.environment["PLIANT_KERNELS"] = str(work / "kernels")

    def left(self):
        """Seconds until the end of the call."""
        return self.end - time.time()

    def run(self, *words, fails=False, env=None, before=(), seconds=240):
        """Runs the program, with other words before it; never past the end of the call."""
        command = [*before, self.program, *(str(word) for word in words)]
        limit = max(5, min(seconds, self.left()))
        try:
            done = subprocess.run(command, cwd=self.work, env={**self.environment, **(env or {})}, timeout=limit,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"pliant {' '.join(command[1:])} did not end within {limit:.0f} s") from error
        if done.returncode and not fails:
            told = (done.stdout[-1500:] + done.stderr[-1500:]).strip()
            raise Failed(f"pliant {' '.join(command[1:])} ended with {done.returncode}: {told}")
        return done

    def file(self, name):
        return self.work / name


def array(path, name):
    import numpy
    with numpy.load(path) as file:
        return file[name].astype("f8")


def least_cosine(one, other):
    import numpy
    norms = numpy.linalg.norm(one, axis=1) * numpy.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / norms).min())
