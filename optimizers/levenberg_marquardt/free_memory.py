"""How much memory this process can still take."""

import os
import pathlib

# Limits of cgroups as they are called in the second version and in the first.
_VERSIONS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(root="/"):
    """Bytes: what the machine has free, or less where the process has a limit of its own.

    In a container the limit is that of its control group (cgroup, of either version) or of one
    that this is in. Beyond it the process is killed, however much the machine has.

    Args:
        root: Folder of the file system that holds `proc` and `sys`.
    """
    root = pathlib.Path(root)
    return min([_of_machine(root), *_of_groups(root)])


def _of_machine(root):
    try:
        lines = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**21
        return pages * (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) // 2


def _of_groups(root):
    """What each control group of the process has left."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, group = line.split(":", 2)  # "0::/a/b", or "4:memory:/a/b"
        version = "memory" if "memory" in controllers.split(",") else controllers
        if version in _VERSIONS:
            mount = root / "sys/fs/cgroup" / version
            folder = mount / group.lstrip("/")
            # In a container the path may be that of the machine, and the files lie at the top.
            for one in {folder, *folder.parents, mount}:
                if one == mount or mount in one.parents:
                    yield from _left(one, *_VERSIONS[version])


def _left(folder, limit, usage, reclaimable):
    """Nothing where the folder sets no limit."""
    try:
        limit = int((folder / limit).read_text())  # "max" is none
        used = int((folder / usage).read_text())
    except (OSError, ValueError):
        return
    try:
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        used -= int(stat.get(reclaimable, 0))
    except (OSError, ValueError):
        pass  # The limit holds all the same.
    yield max(limit - used, 0)
