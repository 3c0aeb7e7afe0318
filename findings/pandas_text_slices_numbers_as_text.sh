#!/usr/bin/env bash
# One would guess: on a series whose labels are whole numbers (weeks, years), a slice that ends with
#   text is a TypeError, as a comparison of a number with text is; or the text is read as a number.
# What happens: neither. The place of the text is found by comparing the labels as text, without a
#   warning: of the weeks 8 to 12, `.loc["9":]` is empty, `.loc["10":]` holds all five, and
#   `.loc[:"12"]` all five, which is right. Years of four digits come out right, which hides it.
# Seen with: pandas 3.1.1, NumPy 2.4.6, Python 3.11.
# Why it matters: a table of weekly values whose cut comes from a command line or a config file, as
#   text, is split wrongly into what is trained on and what is held out. Convert it first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet pandas==3.1.1 numpy==2.4.6
cd "$work"
cat > slices.py <<'PYTHON'
import pandas as pd

weeks = pd.Series(range(5), index=[8, 9, 10, 11, 12])
for start in (9, 10, "9", "10"):
    print(f"from {start!r}:", weeks.loc[start:].index.tolist())
for end in (9, "9", "12"):
    print(f"up to {end!r}:", weeks.loc[:end].index.tolist())
PYTHON
found=$("$work/env/bin/python" -W error slices.py)
echo "$found"
test "$found" = "from 9: [9, 10, 11, 12]
from 10: [10, 11, 12]
from '9': []
from '10': [8, 9, 10, 11, 12]
up to 9: [8, 9]
up to '9': [8, 9, 10, 11, 12]
up to '12': [8, 9, 10, 11, 12]"
