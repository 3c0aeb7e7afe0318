"""The README's Python examples run, one after another, as a reader would type them."""

import pathlib
import re

import kerazoo

README = pathlib.Path(kerazoo.__file__).parent / "README.md"


def test_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_every_file_it_names_is_there():
    named = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text())
    assert named
    assert [path for path in named if not (README.parent / path).exists()] == []
