"""The checks of `_arguments.py` one by one; test_arguments.py tries every public argument."""

from fractions import Fraction

import keras
import numpy as np
import pytest

from kerazoo import _arguments as arguments


class Table:
    """Like a table of pandas: an array, and no dtype of the whole."""

    shape = (2, 2)

    def __array__(self, *_, **__):
        return np.ones((2, 2))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_integers_become_plain(value):
    for found in (
        arguments.integer("n", value),
        arguments.positive_integer("n", value),
        arguments.integers("n", value)[0],
        arguments.integer_or_none(value),
    ):
        assert (found, type(found)) == (3, int)


@pytest.mark.parametrize(
    "value", [1, 1.0, np.float32(1), np.float64(1), np.int8(1), np.array(1.0), Fraction(1)]
)
def test_numbers_become_plain(value):
    for found in (arguments.number("x", value), arguments.fraction("x", value)):
        assert (found, type(found)) == (1.0, float)


@pytest.mark.parametrize("value", [True, np.True_, np.array(True)])
def test_booleans_become_plain(value):
    assert arguments.boolean("b", value) is True
    assert arguments.boolean("b", np.False_) is False


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", None, [1], NAN, INF, 1j, np.ones(1)])
def test_what_is_no_integer(value):
    for check in (arguments.integer, arguments.positive_integer):
        with pytest.raises(ValueError, match=r"`n` must be an? .*integer.* Received: n="):
            check("n", value)
    assert arguments.integer_or_none(value) is None


@pytest.mark.parametrize(
    "value", [True, np.True_, "1", None, [1.0], NAN, INF, -INF, 1j, 10**400, np.ones(1)]
)
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"`x` must be a finite number\. Received: x="):
        arguments.number("x", value)


@pytest.mark.parametrize("value", [0, 1, 1.0, "True", None, [True], np.int64(1)])
def test_what_is_no_boolean(value):
    with pytest.raises(ValueError, match=r"`b` must be True or False\. Received: b="):
        arguments.boolean("b", value)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        ({"minimum": 0}, [0, 5], [-1e-9], "a finite number of at least 0"),
        ({"maximum": 1}, [1, -5], [1 + 1e-9], "a finite number of at most 1"),
        ({"minimum": 0, "maximum": 1}, [0, 1], [-1e-9, 1 + 1e-9], "a finite number from 0 to 1"),
        ({"above": 0}, [1e-9], [0, -1], "a finite number above 0"),
        ({"below": 1}, [1 - 1e-9], [1, 2], "a finite number below 1"),
        ({"minimum": 0, "below": 1}, [0, 0.9], [-1, 1], "of at least 0 and below 1"),
    ],
)
def test_bounds_of_numbers(bounds, inside, outside, words):
    for value in inside:
        assert arguments.number("x", value, **bounds) == value
    for value in outside:
        with pytest.raises(ValueError, match=words):
            arguments.number("x", value, **bounds)


def test_bounds_of_integers():
    assert arguments.integer("n", 2, minimum=2, maximum=2) == 2
    for value in (1, 3):
        with pytest.raises(ValueError, match="`n` must be an integer from 2 to 2"):
            arguments.integer("n", value, minimum=2, maximum=2)
    with pytest.raises(ValueError, match="a positive integer"):
        arguments.positive_integer("n", 0)
    assert arguments.integers("n", (1, 2), 1, 2) == (1, 2)
    for values in ((0, 1), (1, 3), (), "12", None, [1.5], [[1]], {1: 2}, np.ones((2, 2))):
        with pytest.raises(ValueError, match=r"`n` must be .*, or a tuple of such"):
            arguments.integers("n", values, 1, 2)


def test_words():
    assert arguments.choice("w", "a", ("a", "b")) == "a"
    assert type(arguments.choice("w", np.str_("a"), ("a", "b"))) is str
    for value in ("c", 1, None, ["a"], True):
        with pytest.raises(ValueError, match="`w` must be one of 'a', 'b'"):
            arguments.choice("w", value, ("a", "b"))
    assert arguments.text("w", "any") == "any"
    for value in ("", 1, None, ["a"]):
        with pytest.raises(ValueError, match="`w` must be a string"):
            arguments.text("w", value)


def test_what_also_passes():
    for check in (
        arguments.integer,
        arguments.positive_integer,
        arguments.number,
        arguments.fraction,
        arguments.boolean,
        arguments.text,
        lambda name, value, also: arguments.choice(name, value, ("a",), also=also),
    ):
        assert check("x", None, also=(None, "auto")) is None
        assert check("x", "auto", also=(None, "auto")) == "auto"
        with pytest.raises(ValueError, match=r", or None, or 'auto'\. Received: x=\['auto'\]"):
            check("x", ["auto"], also=(None, "auto"))
    # An array is compared with none of them: its truth would be ambiguous.
    with pytest.raises(ValueError, match="`x` must"):
        arguments.number("x", np.ones(2), also=("auto",))


def test_built_models():
    built = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert arguments.built_model("model", built) is built
    for value in (keras.Sequential([keras.layers.Dense(1)]), keras.layers.Dense(1), "net", None):
        with pytest.raises(ValueError, match=r"`model` must be a built Keras model.*Received: mod"):
            arguments.built_model("model", value)


def test_values_in_words_are_short():
    assert arguments.in_words(np.ones((2, 3))) == "ndarray of shape (2, 3), dtype float64"
    assert arguments.in_words(Table()) == "Table of shape (2, 2), dtype mixed"
    assert arguments.in_words(np.float32(0.5)) == repr(np.float32(0.5))
    assert len(arguments.in_words("a" * 1000)) == arguments.LONGEST + 3
