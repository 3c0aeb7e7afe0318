"""Two speeds: `make test` leaves out what bears the mark `slow`, `make test-all` has all."""

import pytest


def slow_but(*fast, of):
    """The parameters `of` a test, all marked slow but those named; a tuple is a row of them."""
    missing = [case for case in fast if case not in list(of)]
    assert not missing, f"no such parameters: {missing}"
    return [
        case
        if case in fast
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in of
    ]
