#!/usr/bin/env bash
# One would guess: `AutoDateLocator(maxticks=9)` puts at most nine ticks on an axis of dates.
# What happens: on some spans (hourly values of about four days) it finds no interval between its
#   `minticks`, 5 unless told, and nine, warns "unable to pick an appropriate interval", and puts
#   more ticks than were allowed. With `minticks=3` the same picture has its few ticks and no warning.
# Seen with: matplotlib 3.11.2, NumPy 2.4.6, Python 3.11.
# Why it matters: forecasts are drawn as a few horizons of history and one to come, which are such
#   spans; a report that treats warnings as errors fails on some lengths of data and not on others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet matplotlib==3.11.2 numpy==2.4.6
cd "$work"
cat > ticks.py <<'PYTHON'
import sys
import warnings

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import dates, pyplot

hours = np.datetime64("2024-03-08") + np.arange(104) * np.timedelta64(1, "h")
for least in (5, 3):
    figure, axes = pyplot.subplots()
    axes.plot(hours, np.arange(104))
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=least, maxticks=9))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.canvas.draw()
    warned = any("appropriate interval" in str(one.message) for one in caught)
    print(f"minticks={least}, maxticks=9: {'warns' if warned else 'does not warn'},", end=" ")
    print("more than nine ticks" if len(axes.get_xticks()) > 9 else "at most nine ticks")
PYTHON
found=$(MPLCONFIGDIR="$work" "$work/env/bin/python" ticks.py 2>/dev/null)
echo "$found"
test "$found" = "minticks=5, maxticks=9: warns, more than nine ticks
minticks=3, maxticks=9: does not warn, at most nine ticks"
