"""The memory that is free, on the machine and within the limits of control groups."""

import os

import pytest

from kerazoo.optimizers.levenberg_marquardt.free_memory import free_memory

MIB = 2**20


def test_is_at_most_the_machines():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free_memory() <= total


@pytest.fixture
def machine(tmp_path):
    """A file system, with 8 GiB free, to which groups can be added."""

    def write(path, text):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 8388608 kB\n")
    write("proc/self/cgroup", "0::/\n")

    def group(folder, limit, used, cached, version=2):
        folder = f"sys/fs/cgroup/{'' if version == 2 else 'memory/'}{folder}"
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        write(f"{folder}/{names[0]}", f"{limit}\n")
        write(f"{folder}/{names[1]}", f"{used * MIB}\n")
        write(f"{folder}/memory.stat", f"anon 1\n{names[2]} {cached * MIB}\n")

    return tmp_path, write, group


def test_without_groups(machine):
    root, *_ = machine
    assert free_memory(root) == 8192 * MIB
    (root / "proc/self/cgroup").unlink()
    assert free_memory(root) == 8192 * MIB


def test_second_version_in_a_container(machine):
    root, _, group = machine
    group("", 2048 * MIB, 1000, 300)
    assert free_memory(root) == (2048 - 700) * MIB


def test_a_group_without_a_limit_within_one_that_has_one(machine):
    root, write, group = machine
    write("proc/self/cgroup", "0::/user.slice/job.scope\n")
    group("user.slice/job.scope", "max", 400, 0)
    assert free_memory(root) == 8192 * MIB
    group("user.slice", 1024 * MIB, 500, 0)
    assert free_memory(root) == 524 * MIB


def test_first_version(machine):
    root, write, group = machine
    write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n")
    group("", 2**63 - 4096, 3000, 0, version=1)
    group("docker/abc", 512 * MIB, 600, 200, version=1)
    assert free_memory(root) == 112 * MIB
    # Seen from inside, the group's files lie at the top.
    write("proc/self/cgroup", "4:memory:/not/mounted\n")
    group("", 256 * MIB, 300, 0, version=1)
    assert free_memory(root) == 0


def test_a_limit_holds_whatever_can_be_read_of_its_cache(machine):
    root, write, group = machine
    group("", 2048 * MIB, 1000, 300)
    write("sys/fs/cgroup/memory.stat", "")
    assert free_memory(root) == 1048 * MIB
    (root / "sys/fs/cgroup/memory.stat").unlink()
    assert free_memory(root) == 1048 * MIB


def test_the_narrowest_of_nested_groups_of_both_versions_counts(machine):
    """As on a machine with the first version for memory, and the second for the rest."""
    root, write, group = machine
    write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/jobs/a\n0::/jobs/a\n")
    group("jobs", 700 * MIB, 300, 0, version=1)
    group("jobs/a", 900 * MIB, 100, 0, version=1)
    assert free_memory(root) == 400 * MIB
    group("jobs", 900 * MIB, 600, 50)
    assert free_memory(root) == 350 * MIB
