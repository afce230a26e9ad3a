"""The canary sweep: looks for every credential of the run, in every listed encoding, in every file."""

import os
import subprocess


class Sweep:
    """Needles of one run. Reports names and places, never values."""

    def __init__(self, needles):
        self.needles = needles
        self.patterns = b"\n".join(needle for _, needle in needles)

    def bytes(self, content):
        """The names of the needles that occur."""
        return [name for name, needle in self.needles if needle in content]

    def folder(self, folder, excluded):
        """(place, names) for each file that holds one; and how many files and bytes were read."""
        files, size = [], 0
        for where, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if os.path.join(where, name) not in excluded]
            for name in names:
                path = os.path.join(where, name)
                if path not in excluded and os.path.isfile(path) and not os.path.islink(path):
                    files.append(path)
                    size += os.path.getsize(path)
        return [(path, self._names(path)) for path in self._hits(files)], len(files), size

    def _hits(self, files):
        """The files that hold any needle. The patterns go by a pipe: arguments are world-readable."""
        found = []
        for start in range(0, len(files), 500):
            found += self._read(files[start:start + 500])
        return found

    def _read(self, files):
        command = ["grep", "-slaF", "-f", "-", "--", *files]
        done = subprocess.run(command, input=self.patterns, stdout=subprocess.PIPE,
                              env={**os.environ, "LC_ALL": "C"}, check=False)
        if done.returncode <= 1:
            return done.stdout.decode().splitlines()
        # Databases that still run drop files of theirs; whatever is there has to be read.
        left = [file for file in files if os.path.exists(file)]
        if len(left) == len(files):
            raise OSError("the sweep could not read every file")
        return self._read(left) if left else []

    def _names(self, path):
        with open(path, "rb") as file:
            return self.bytes(file.read())
