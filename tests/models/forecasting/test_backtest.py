"""Backtests of a naive forecaster in NumPy, against forecasts and metrics one by one."""

import keras
import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from kerazoo.models.forecasting import (
    Backtest,
    LinearAutoregression,
    SeasonalNaive,
    mase,
    rmse,
    rmsse,
    smape,
)
from kerazoo.models.forecasting.backtest import roll_origin

NAN = np.nan


class Naive:
    """Forecasts the last value plus its one weight, which `fit` sets to the mean of the series."""

    num_features = 1
    seasonal_difference = 0
    transform = None
    compiled = True

    def __init__(self, fitted_until=0):
        self.weight = keras.Variable(np.zeros(1))
        self.optimizer = keras.optimizers.SGD()
        self.fitted_until = fitted_until
        self.calls = 0

    @property
    def variables(self):
        return [self.weight]

    trainable_variables = variables

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def compile_alike(self, model, optimizer):
        model.optimizer = optimizer

    def fit(self, series, verbose, on_fit=None, **kwargs):
        assert float(self.weight[0]) == 0  # begins anew each time
        several = series if isinstance(series, list) else [series]
        loss = on_fit(several) if on_fit else 0.0
        self.weight.assign([np.mean([one.mean() for one in several])])
        history = keras.callbacks.History()
        history.history = {"loss": [loss]}
        return history

    def _forecast_origins(self, values, origins, horizon):
        self.calls += 1
        if any((one == 13).any() for one in values):
            raise ValueError("no 13 here\nand more lines")
        last = [one[np.asarray(own) - 1] for one, own in zip(values, origins, strict=True)]
        weight = float(self.weight[0])
        return [np.repeat(one[:, None], horizon, axis=1) + weight for one in last]

    def _fitted_until(self, values):
        return self.fitted_until


def roll(series, model=None, horizon=4, start=40, stride=1, fit=None, season=None, metrics=None):
    return roll_origin(
        model or Naive(), series, horizon, start, stride, fit, season, metrics, verbose=0
    )


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(0)
    return 5 + np.sin(np.arange(70) * np.pi / 6) + 0.1 * rng.normal(size=70)


@pytest.fixture(scope="module")
def several(series):
    return {"a": 100 * series, "b": series[:50], "c": series[:30] ** 2}


def test_forecasts_scores_and_baselines(series):
    result = roll(series, horizon=8, stride=9, season=12, metrics=["mase", "rmse", "smape"])
    assert result.origins == [40, 49, 58]
    scores = result.scores()
    assert list(scores) == ["forecaster", "seasonal naive", "linear autoregression"]
    for i, origin in enumerate(result.origins):
        known, truth = series[:origin], series[origin : origin + 8, None]
        expected = {
            "forecaster": np.full((8, 1), known[-1]),
            "seasonal naive": SeasonalNaive(12).forecast(8, known),
            "linear autoregression": LinearAutoregression(13).fit(known).forecast(8, known),
        }
        for method, forecast in expected.items():
            np.testing.assert_allclose(result.by_method[method][i], forecast, rtol=1e-8)
            found = [scores[method][name][i] for name in ("mase", "rmse", "smape")]
            wanted = mase(truth, forecast, known, 12), rmse(truth, forecast), smape(truth, forecast)
            np.testing.assert_allclose(found, wanted, rtol=1e-8)
    np.testing.assert_array_equal(result.forecasts, result.by_method["forecaster"])
    table = result.table().splitlines()
    assert len(table) == 4
    assert " ".join(table[0].split()) == "3 origins, horizon 8 MASE [min, max] RMSE sMAPE"
    assert f"{scores['forecaster']['mase'].mean():.3f}" in table[1]
    assert f"{scores['seasonal naive']['rmse'].mean():.4g}" in table[2]


def test_the_linear_baseline_has_the_transform_of_the_forecaster(series):
    model = Naive()
    model.transform = "sqrt"
    result = roll(series, model, start=60)
    known = series[:60]
    expected = LinearAutoregression(2, "sqrt").fit(known).forecast(4, known)
    np.testing.assert_allclose(result.by_method["linear autoregression"][0], expected, rtol=1e-8)


def test_what_comes_after_an_origin_changes_no_forecast_from_it(series):
    gaps = series.copy()
    gaps[[3, 20, 38]] = NAN
    changed = gaps.copy()
    changed[50:] = 1000 * np.random.default_rng(1).normal(size=20)
    one, other = (roll([v, v[:60]], start=40, season=12).by_method for v in (gaps, changed))
    assert len(one) == 3
    for method, forecasts in one.items():
        for before, after in zip(forecasts, other[method], strict=True):
            np.testing.assert_array_equal(before[:11], after[:11])


def test_all_origins_take_one_pass(series, several):
    for one in (series, several):
        model = Naive()
        roll(one, model, start=20)
        assert model.calls == 1


def test_several_series_equal_each_alone(several):
    result = roll(several, start=20, stride=5, season=12, metrics=["mase", "rmsse"])
    assert list(result.origins) == list(result.forecasts) == list(several)
    assert list(map(len, result.origins.values())) == [10, 6, 2]
    for name, one in several.items():
        alone = roll(one, start=20, stride=5, season=12, metrics=["mase", "rmsse"])
        np.testing.assert_array_equal(result.forecasts[name], alone.forecasts)
        for method, scores in alone.scores().items():
            for metric, values in scores.items():
                np.testing.assert_array_equal(result.scores()[name][method][metric], values)
    # Series count alike, not origins.
    means = [np.mean(result.scores()[name]["forecaster"]["mase"]) for name in several]
    head, row = result.table().splitlines()[:2]
    assert head.startswith("3 series, 18 origins, horizon 4 ")
    assert row.split()[1] == f"{np.mean(means):.3f}"
    listed = roll(list(several.values()), start=20, stride=5)
    assert list(listed.scores()) == [0, 1, 2]
    np.testing.assert_array_equal(listed.forecasts[1], result.forecasts["b"])


def test_a_negative_start_counts_from_the_end_of_each_series(several):
    result = roll(several, start=-4)
    assert result.origins == {"a": [66], "b": [46], "c": [26]}
    np.testing.assert_array_equal(result.forecasts["b"][0], np.full((4, 1), several["b"][45]))
    assert roll(several["a"], start=-8, stride=3).origins == [62, 65]


def test_a_season_of_the_model_is_the_default(series):
    model = Naive()
    model.seasonal_difference = 12
    result = roll(series, model)
    assert result.season_length == 12
    assert roll(series).season_length == 1


def test_own_metrics(series):
    def last_step(t, p, known, m):
        return abs(t[-1, 0] - p[-1, 0]) / np.abs(known[m:] - known[:-m]).mean()

    def longest(y_true, y_pred, y_train):
        return len(y_train)

    metrics = {"last": last_step, "mae": mean_absolute_error, "known": longest, "own": rmsse}
    result = roll(series, start=40, stride=10, season=3, metrics=metrics)
    scores = result.scores()["forecaster"]
    truth, known = series[40:44], series[:40]
    errors = np.abs(truth - known[-1])
    naive = np.abs(known[3:] - known[:-3])
    assert scores["last"][0] == pytest.approx(errors[-1] / naive.mean())
    assert scores["mae"][0] == pytest.approx(errors.mean())
    np.testing.assert_array_equal(scores["known"], result.origins)
    assert scores["own"][0] == rmsse(truth, np.full(4, known[-1]), known, 3)
    assert result.table().split()[4:10] == ["last", "[min,", "max]", "mae", "known", "own"]
    one = roll(series, start=60, metrics=mean_absolute_error)
    assert list(one.scores()["forecaster"]) == ["mean_absolute_error"]
    assert list(roll(series, start=60, metrics="smape").scores()["forecaster"]) == ["smape"]


def test_missing_truth_is_left_out_and_counted(series):
    gaps = series.copy()
    gaps[50:58] = NAN
    with pytest.warns(UserWarning, match="2 of 6 origins have no forecast"):
        result = roll(gaps, start=46, stride=4, season=12)  # two last values are missing
    observed = np.isfinite(result.scores()["seasonal naive"]["mase"])
    np.testing.assert_array_equal(observed, [True, False, False, True, True, True])
    table = result.table()
    assert "nan" not in table
    assert "seasonal naive: MASE, RMSE undefined at 2 of 6 origins: `y_true` must" in table


def test_what_is_undefined_at_some_origins_leaves_the_others():
    flat = np.full(50, 4.0)
    flat[20:] += np.arange(30) % 5
    result = roll([flat, flat[:25] + 1], horizon=5, start=10, stride=25, season=12)
    table = result.table()
    assert "forecaster: MASE undefined at 2 of 3 origins: `y_train` must hold" in table
    assert "linear autoregression: MASE, RMSE undefined at 2 of 3 origins: no forecast" in table
    expected = mase(flat[35:40], np.full(5, flat[34]), flat[:35], 12)
    assert f"{expected:.3f}" in table
    assert sorted(result.failures) == [(0, 10), (1, 10)]
    assert "linear autoregression: " in result.failures[0, 10]


def test_a_metric_defined_nowhere_is_said_to_be():
    table = roll(np.full(40, 3.0), start=30, stride=3).table()
    assert "nan" in table
    assert "seasonal naive: MASE undefined at 3 of 3 origins: `y_train` must hold" in table


def test_an_origin_that_cannot_be_forecast_costs_no_other(series):
    bad = series.copy()
    bad[55] = 13
    with pytest.warns(UserWarning, match=r"6 of 28 origins have no forecast.*no 13 here$"):
        result = roll([bad, series], stride=2)
    missing = np.isnan(result.forecasts[0]).all(axis=(1, 2))
    np.testing.assert_array_equal(missing, np.array(result.origins[0]) > 55)
    assert np.isfinite(result.forecasts[1]).all()
    assert list(result.failures) == [(0, origin) for origin in np.arange(56, 67, 2)]
    assert result.failures[0, 56] == "forecaster: no 13 here"


def test_no_origin_at_all_is_an_error(series):
    with pytest.raises(ValueError, match=r"No origin could be forecast.*forecaster: no 13 here"):
        roll(np.where(np.arange(70) == 3, 13, series))
    with pytest.raises(ValueError, match="`series` must reach `horizon` steps beyond `start`"):
        roll(series, start=68)
    with pytest.raises(ValueError, match=r"`series\[0\]` must reach .*30 steps, start=40"):
        roll([series[:30], series[:20]])


def test_series_too_short_for_an_origin_are_counted(several):
    with pytest.warns(UserWarning, match=r"no origin in 1 of the series.*`series\['c'\]` must"):
        result = roll(several)
    assert result.origins["c"] == []
    assert result.forecasts["c"].shape == (0, 4, 1)
    assert result.table().startswith("2 series, ")
    with pytest.warns(UserWarning, match="must have an observed step before `start`"):
        roll(several, start=-40)


def test_a_model_that_was_fitted_on_what_it_forecasts(series):
    roll(series, Naive(fitted_until=40))
    with pytest.warns(UserWarning, match=r"fitted on values.*in the series.*`refit=True`"):
        roll(series, Naive(fitted_until=41))
    with pytest.warns(UserWarning, match=r"in 1 of 2 series"):
        roll([series, series[:50]], Naive(fitted_until=47), start=-4)


def test_intervals_of_a_model_with_a_transform_reach_no_lower_than_zero(series):
    model = Naive()
    wide = roll(series, model).conformal()
    model.transform = "sqrt"
    kept = roll(series, model).conformal()
    near_zero, scale = np.full((1, 4, 1), 1e-3), [1.0]
    assert (wide.interval(near_zero, scale)[0] < 0).all()
    np.testing.assert_array_equal(kept.interval(near_zero, scale)[0], 0)
    np.testing.assert_array_equal(
        kept.interval(near_zero, scale)[1], wide.interval(near_zero, scale)[1]
    )


def test_refit_trains_anew_on_all_that_precedes_each_origin(series, several):
    seen = []
    model = Naive(fitted_until=70)
    result = roll(several, model, start=-8, stride=2, fit={"on_fit": lambda s: seen.append(s) or 0})
    assert [list(map(len, round_)) for round_ in seen] == [[62, 42, 22], [64, 44, 24], [66, 46, 26]]
    a, b, c = several.values()
    weight = np.mean([a[:64].mean(), b[:44].mean(), c[:24].mean()])
    np.testing.assert_allclose(result.forecasts["b"][1], several["b"][43] + weight, rtol=1e-6)
    assert float(model.weight[0]) == 0
    alone = roll(series, start=60, fit={})
    np.testing.assert_allclose(alone.forecasts[0], series[59] + series[:60].mean(), rtol=1e-6)


def test_a_refit_that_fails_or_diverges_costs_no_other_origin(series):
    def on_fit(several):
        if len(several[0]) == 60:
            raise RuntimeError("out of luck")
        return NAN if len(several[0]) == 62 else 0.0

    with pytest.warns(UserWarning, match="2 of 4 origins have no forecast"):
        result = roll(series, start=60, stride=2, fit={"on_fit": on_fit})
    assert np.isnan(result.forecasts).all(axis=(1, 2)).tolist() == [True, True, False, False]
    assert result.failures == {
        (None, 60): "forecaster: refit: out of luck",
        (None, 62): "forecaster: refit: training diverged: its loss is nan",
    }
    assert np.isfinite(result.scores()["seasonal naive"]["rmse"]).all()


def test_an_interrupted_refit_stops(series):
    def on_fit(several):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roll(series, fit={"on_fit": on_fit})


def test_a_linear_baseline_that_takes_too_long_is_left_out(series, monkeypatch):
    monkeypatch.setattr("kerazoo.models.forecasting.backtest._MOST_BASELINE_WORK", 10)
    result = roll(series)
    assert list(result.by_method) == ["forecaster", "seasonal naive"]
    assert "linear autoregression: left out, 27 fits" in result.table()


def test_conformal_intervals_for_new_forecasts():
    rng = np.random.default_rng(0)
    walks = [
        10.0 ** rng.integers(-2, 5) * rng.normal(size=rng.integers(40, 90)).cumsum()
        for _ in range(500)
    ]
    result = roll([walk[:-4] for walk in walks], start=-4)
    intervals = result.conformal(0.8)
    assert intervals.radius.shape == (4, 1)
    forecasts = np.stack([np.full((4, 1), walk[-5]) for walk in walks])
    truth = np.stack([walk[-4:, None] for walk in walks])
    assert result.scale().shape == (500, 1)
    assert intervals.coverage(truth, forecasts, result.scale()) == pytest.approx(0.8, abs=0.04)
    longer = result.scale(walks)
    np.testing.assert_allclose(longer[:, 0], [np.abs(np.diff(walk)).mean() for walk in walks])
    # One series: its own scale.
    one = roll(walks[0], start=10)
    lower, upper = one.conformal().interval(np.zeros((4, 1)), one.scale())
    assert (lower < 0).all()
    assert (upper > 0).all()


def test_scale_falls_back_to_the_naive_error():
    result = roll([[0.0, 1, 0, 1, 3, 3, 2, 2], np.tile([1.0, 2.0], 4)], horizon=1, start=-1)
    assert result.scale().tolist() == [[6 / 7], [1.0]]
    seasonal = roll([[0.0, 1, 0, 1, 3, 3, 2, 2], np.tile([1.0, 2.0], 4)], None, 1, -1, season=2)
    assert seasonal.scale().tolist() == [[(0 + 0 + 3 + 2 + 1 + 1) / 6], [1.0]]  # not 0
    short = roll([[0.0, 1, 4], [5.0, 5.0]], None, 1, -1, season=9)
    np.testing.assert_array_equal(short.scale(), [[2.0], [0.0]])


def test_to_frame(series, several):
    pandas = pytest.importorskip("pandas")
    frame = roll(several, start=-8, stride=4).to_frame()
    assert list(frame) == [
        "unique_id",
        "cutoff",
        "ds",
        "y",
        "forecaster",
        "seasonal naive",
        "linear autoregression",
    ]
    assert len(frame) == 3 * 2 * 4
    row = frame[(frame.unique_id == "b") & (frame.ds == 48)]
    assert row.cutoff.item() == 45
    assert row.y.item() == several["b"][48]
    assert row.forecaster.item() == several["b"][45]
    assert list(roll(series, start=-4).to_frame()) == list(frame)[1:]
    two = Backtest(np.arange(20.0).reshape(10, 2), [6], 3, 1, {"own": np.zeros((1, 3, 2))})
    frame = two.to_frame()
    assert frame.feature.tolist() == [0, 1, 0, 1, 0, 1]
    assert frame.y.tolist() == [12, 13, 14, 15, 16, 17]
    assert frame.ds.tolist() == [6, 6, 7, 7, 8, 8]
    assert isinstance(frame, pandas.DataFrame)


def test_dates_of_pandas_series(series, tmp_path):
    pd = pytest.importorskip("pandas")
    months = pd.period_range("2015-01", periods=70, freq="M")
    dated = pd.Series(series, months.to_timestamp())
    result = roll(dated, start="2018-06-01", stride=3)  # the 42nd month
    assert result.origins == list(range(42, 67, 3))
    np.testing.assert_array_equal(result.forecasts, roll(series, start=42, stride=3).forecasts)
    frame = result.to_frame()
    assert frame.cutoff[0] == pd.Timestamp("2018-06-01")
    assert frame.ds[:4].tolist() == list(dated.index[42:46])
    assert frame.y[:4].tolist() == series[42:46].tolist()
    for index in (dated.index, months, dated.index.tz_localize("Europe/Vienna")):
        picture = tmp_path / "dates.png"
        roll(pd.Series(series, index), start=-8).plot(picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
    years = pd.Series(series, pd.Index(range(1901, 1971), name="year"))
    assert roll(years, start=60).origins[0] == 60  # an integer is a number of values
    with pytest.raises(ValueError, match="`start` must be a time as the series has them"):
        roll(years, start="soon")


def test_frames_of_several_series(several):
    pd = pytest.importorskip("pandas")
    days = {k: pd.date_range("2024-01-05", periods=len(v))[::1] for k, v in several.items()}
    long = pd.concat(
        pd.DataFrame({"unique_id": k, "ds": days[k], "y": v}) for k, v in several.items()
    )
    expected = roll(several, start=20, stride=5)
    result = roll(long, start=pd.Timestamp("2024-01-24"), stride=5)
    assert result.origins == expected.origins
    for name in several:
        np.testing.assert_array_equal(result.forecasts[name], expected.forecasts[name])
    frame = result.to_frame()
    assert frame.groupby("unique_id").cutoff.first()["c"] == pd.Timestamp("2024-01-24")
    wide = pd.DataFrame({k: pd.Series(v, days[k]) for k, v in several.items()})
    assert roll(wide, start=20, stride=5).origins == expected.origins
    with pytest.warns(UserWarning, match="no origin in 2 of the series"):
        late = roll(long, start="2024-02-20")
    assert list(map(len, late.origins.values())) == [20, 0, 0]


def test_picture(series, several, tmp_path):
    result = roll(series, horizon=8, stride=3, season=12)
    result.plot(tmp_path / "backtest.png", xlabel="month", ylabel="level", level=0.8)
    assert (tmp_path / "backtest.png").read_bytes().startswith(b"\x89PNG")
    several = roll(several, start=-8)
    several.plot(tmp_path / "several.png", series="b", x=np.arange(50) / 12)
    assert (tmp_path / "several.png").read_bytes().startswith(b"\x89PNG")
    for backtest, name in ((result, "a"), (several, None), (several, "z")):
        with pytest.raises(ValueError, match="`series` must be"):
            backtest.plot(tmp_path / "none.png", series=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "`horizon`"),
        ({"start": 0}, "`start` must be a positive integer.*a negative one.*a date"),
        ({"start": "2024-04-20"}, "`start` must be a positive integer"),
        ({"start": -3}, "`series` must reach `horizon`"),
        ({"start": -80}, "`series` must have an observed step before `start`"),
        ({"stride": 1.5}, "`stride`"),
        ({"season": 0}, "`season_length`"),
        ({"metrics": "mape"}, "`metrics` must be one or a list of 'mase', 'rmse'"),
        ({"metrics": []}, "`metrics`"),
        ({"metrics": [3]}, "`metrics`"),
        ({"metrics": {"a": lambda a, b, c: 0}}, "`metrics`"),
        ({"metrics": {1: rmse}}, "`metrics`"),
        ({"metrics": keras.losses.MeanSquaredError}, "`metrics`"),
    ],
)
def test_errors(series, arguments, message):
    with pytest.raises(ValueError, match=message):
        roll(series, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"origins": [0]}, "`origins`"),
        ({"origins": [8]}, "`origins`"),
        ({"by_method": {"a": np.zeros((1, 3, 2))}}, "`by_method`"),
        ({"by_method": {}}, "`by_method`"),
        ({"series": [np.arange(10.0)] * 2}, "`origins` must be for 2 series, a list of as many"),
    ],
)
def test_errors_of_what_is_given(arguments, message):
    right = {
        "series": np.arange(10.0),
        "origins": [7],
        "horizon": 3,
        "season_length": 1,
        "by_method": {"own": np.zeros((1, 3, 1))},
    }
    Backtest(**right)
    with pytest.raises(ValueError, match=message):
        Backtest(**{**right, **arguments})
