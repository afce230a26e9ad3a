"""A small file system of its own at the audit directory, which can be full from one moment to the next; needs root."""

import os
import subprocess
import time

from ...claim import Unproven

ROOM = "768m"


class Disk:
    """Full means: not one more page, for the file system shrinks to what is used."""

    def __init__(self, folder):
        self.folder, self.full, self.mounted = folder, False, False
        self._freed_at = 0.0

    def mount(self):
        self._mount(f"size={ROOM},mode=0700")
        self.mounted = True

    def fill(self):
        for _ in range(50):
            found = os.statvfs(self.folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            try:
                self._mount(f"remount,size={used}")
                self.full = True
                return
            except Unproven:
                # It grew in between.
                continue
        raise Unproven(f"the disk at {self.folder.name} cannot be filled")

    def free(self):
        self._mount(f"remount,size={ROOM}")
        self.full, self._freed_at = False, time.monotonic()

    def lately_full(self):
        """Whether what ended just now may have ended because of it."""
        return self.full or time.monotonic() - self._freed_at < 2

    def unmount(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
            self.mounted = False

    def _mount(self, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Unproven(f"a full disk needs a small file system: {done.stderr.strip()}")
