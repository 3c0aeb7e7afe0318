"""What the benchmarks print of where they ran."""

import os
import platform


def machine():
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            model = next((s.split(":")[1].strip() for s in lines if "model name" in s), model)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"
