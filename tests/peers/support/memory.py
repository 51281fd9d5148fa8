"""The resident memory of a process, as the system counts it."""

from pathlib import Path


def resident(pid):
    """The memory that a process has now, in bytes."""
    return _read(pid, "VmRSS")


def most_resident(pid):
    """The most memory that a process ever had, in bytes."""
    return _read(pid, "VmHWM")


def _read(pid, name):
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
