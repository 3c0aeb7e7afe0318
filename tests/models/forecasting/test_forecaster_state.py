"""A live state: saved, loaded, and gone on with, against reading everything at once."""

import checks
import numpy as np
import pytest
from forecasting_cases import NAN, make, waves
from speed import slow_but

from kerazoo.models import ForecasterState

SETTINGS = {
    "season": {"seasonal_difference": 7},
    "log, gru": {"cell": "gru", "units": (5, 3), "transform": "log"},
    "global": {"scaling": "global", "seasonal_difference": 4},
    "none": {"scaling": None, "num_features": 2},
}


@pytest.fixture(scope="module", params=slow_but("season", of=SETTINGS))
def model(request):
    model = make(**SETTINGS[request.param])
    if model.scaling == "global":
        model.fit(waves([60, 70]), verbose=0)
    return model


def series_of(model, lengths, seed=0):
    series = waves(lengths, seed)
    for one in series:
        one[[1, 14, 15, 29]] = NAN
    if model.num_features == 1:
        return series
    return [np.stack([one, np.roll(one, 3)], axis=1) for one in series]


def assert_same(state, other):
    assert state.single == other.single
    for name in ("prediction", "window", "count", "location", "scale", "expected", "spread"):
        a, b = getattr(state, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
    for a, b in zip(state.recurrent, other.recurrent, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_going_on_equals_reading_all_at_once(model, tmp_path):
    (series,) = series_of(model, [90])
    whole = model.warm_up(series)
    state = model.warm_up(series[:31])
    for start, stop in ((31, 60), (60, 61), (61, 90)):
        state.save(tmp_path / "state.npz")
        loaded = ForecasterState.load(tmp_path / "state.npz")
        assert vars(loaded).keys() == vars(state).keys()
        np.testing.assert_array_equal(loaded.window, state.window)
        state = model.warm_up(series[start:stop], loaded)
    assert_same(state, whole)
    np.testing.assert_allclose(model.forecast(9, state), model.forecast(9, series), rtol=1e-4)


def test_several_series_go_on_by_as_many_values_as_each_has(model, tmp_path):
    series = series_of(model, [60, 45])
    parts = [one[:cut] for one, cut in zip(series, (40, 30), strict=True)]
    state = model.warm_up(parts)
    path = str(tmp_path / "state")  # any name, as it is
    state.save(path)
    state = ForecasterState.load(path)
    rest = [one[cut:] for one, cut in zip(series, (40, 30), strict=True)]
    assert_same(model.warm_up(rest, state), model.warm_up(series))
    np.testing.assert_array_equal(model.warm_up(rest, state).count, [60, 45])


def test_stepping_over_gaps_is_warming_up_on_them(model):
    (series,) = series_of(model, [40])
    for t in range(20, 39, 3):
        stepped, _ = model.step(series[t], model.warm_up(series[:t]))
        warmed = model.warm_up(series[: t + 1]).prediction[0]
        np.testing.assert_allclose(stepped, warmed, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_state_is_gone_on_with_in_another_process(tmp_path):
    model = make(seasonal_difference=7)
    (series,) = waves([60])
    model.save(tmp_path / "model.keras")
    model.warm_up(series[:50]).save(tmp_path / "state.npz")
    np.savez(tmp_path / "data.npz", series=series, forecast=model.forecast(5, series))
    printed = checks.run_in_fresh_process(
        """
        import sys, keras, numpy as np, kerazoo
        folder = sys.argv[1]
        model = keras.saving.load_model(f"{folder}/model.keras")
        state = kerazoo.models.ForecasterState.load(f"{folder}/state.npz")
        data = np.load(f"{folder}/data.npz")
        state = model.warm_up(data["series"][50:], state)
        np.testing.assert_allclose(model.forecast(5, state), data["forecast"], rtol=1e-5)
        print("same")
        """,
        tmp_path,
    )
    assert "same" in printed


@pytest.fixture(scope="module")
def state():
    return make().warm_up(waves([30, 20]))


@pytest.mark.parametrize(
    "other",
    [
        {"units": (4,)},
        {"cell": "gru"},
        {"units": (8, 8)},
        {"seasonal_difference": 20},
        {"num_features": 2},
        {"scaling": None},
    ],
)
def test_a_state_of_another_model(state, other):
    model = make(**other)
    for call in (lambda: model.forecast(3, state), lambda: model.step([1.0, 2.0], state)):
        with pytest.raises(ValueError, match="`state` must be a state of this model"):
            call()


@pytest.mark.parametrize("bad", [None, "state", 3, object(), (1, 2)])
def test_what_is_no_state(bad):
    with pytest.raises(ValueError, match=r"`state` must be what `warm_up` or `step` returned"):
        make().step(1.0, bad)


def test_another_number_of_series(state):
    model = make()
    with pytest.raises(ValueError, match="`state` must be a state of as many series as `context`"):
        model.warm_up(waves([5]), state)
    with pytest.raises(ValueError, match=r"`x` must be a finite number.* 2 series"):
        model.step(1.0, state)


def test_what_is_refused_is_called_by_its_name(state):
    model = make(transform="log")
    live = model.warm_up([np.arange(1.0, 9.0), np.arange(1.0, 9.0)])
    with pytest.raises(ValueError, match=r"`context\[1\]` must be above 0"):
        model.warm_up([np.ones(3), -np.ones(3)], live)
    with pytest.raises(ValueError, match="`x` must be above 0"):
        model.step([1.0, 0.0], live)


def test_files_that_hold_something_else(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "nothing").write_text("")
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "arrays.npz", window=np.ones(3))
    make().save(tmp_path / "model.keras")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"`path` must be a file that .*save` wrote"):
            ForecasterState.load(path)
    with pytest.raises(FileNotFoundError):
        ForecasterState.load(tmp_path / "missing")
    for bad in (None, 3, ""):
        with pytest.raises(ValueError, match="`path` must be a path"):
            ForecasterState.load(bad)
