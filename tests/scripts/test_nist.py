"""Certified digits: the figures that the README quotes, from the script that prints them."""

import pathlib
import re
import runpy

import numpy as np
import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "nist.py"


@pytest.fixture(scope="module")
def nist():
    return runpy.run_path(SCRIPT)


def test_formulas_and_data_belong_together(nist, float64):
    """At the certified parameters the residuals are those that NIST certifies."""
    for name in nist["MODELS"]:
        problem = nist["read"](name)
        model, formula = nist["build"](problem)
        formula.b.assign(problem.certified)
        rss = np.sum((model(problem.x).numpy() - problem.y) ** 2)
        text = (nist["DATA"] / f"{name}.dat").read_text()
        certified = float(text.split("Residual Sum of Squares:")[1].split()[0])
        # Lanczos1's residuals are smaller than 11 digits of parameters can give.
        np.testing.assert_allclose(rss, certified, rtol=1e-9, atol=1e-20)


@pytest.mark.slow
def test_certified_digits(nist, float64):
    fits = nist["run"](nist["solve"])
    digits = np.array([fit.digits for fit in fits])
    assert len(digits) == 54
    assert max(fit.steps for fit in fits) <= 500
    unsolved = [fit for fit in fits if fit.digits < 4]
    assert len(unsolved) <= 1, unsolved
    assert digits.mean() >= 10.5
    assert np.sum(digits >= 9) >= 53


def certified_errors(nist, name):
    text = (nist["DATA"] / f"{name}.dat").read_text()
    rows = re.findall(r"^\s*b\d+ =(.*)$", text, flags=re.MULTILINE)
    squares = float(text.split("Residual Sum of Squares:")[1].split()[0])
    return np.array([float(row.split()[-1]) for row in rows]), squares


@pytest.mark.slow
def test_certified_standard_deviations(nist, float64):
    """From the fitted weights. Of Lanczos1 the residuals are smaller than rounding."""
    for name in nist["MODELS"]:
        problem = nist["read"](name)
        model, formula = nist["build"](problem)
        model.compile()
        formula.b.assign(problem.starts[1])
        model.fit(problem.x, problem.y, epochs=nist["MOST_STEPS"], verbose=0)
        expected, squares = certified_errors(nist, name)
        found = model.covariance(problem.x, problem.y, absolute_sigma=name == "Lanczos1")
        errors = found.standard_errors
        if name == "Lanczos1":
            errors = errors * np.sqrt(squares / found.degrees_of_freedom)
        digits = np.min(-np.log10(np.abs(errors / expected - 1)))
        assert digits >= 6, (name, digits)
        assert found.rank == len(expected)
