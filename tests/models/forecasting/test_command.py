"""The command `python -m kerazoo.models.forecasting`, on CSV files made by hand."""

import re

import keras
import numpy as np
import pytest

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting import __main__ as command
from kerazoo.models.forecasting import _command_model

pandas = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

NEW_MODEL = _command_model.new_model


class LastSeason:
    """Stands for the forecaster, which other tests try: repeats the last season."""

    def __init__(self, season, transform):
        self.season, self.transform = max(1, season), transform
        self.seasonal_difference = season
        self.fitted = []

    def fit(self, series, epochs, **kwargs):
        self.fitted.append(series)

    def forecast(self, horizon, series):
        if isinstance(series, dict):
            return {name: self.forecast(horizon, one) for name, one in series.items()}
        values = np.resize(series.ffill().to_numpy()[-self.season :], horizon)
        first = series.index[-1]
        if isinstance(first, pandas.Timestamp):
            index = pandas.date_range(first, periods=horizon + 1, freq=series.index.freq)[1:]
        else:
            step = series.index.step
            index = pandas.RangeIndex(first + step, first + step * (horizon + 1), step)
        return pandas.Series(values, index, name=series.name)

    def backtest(self, series, horizon, start, stride, **kwargs):
        return Result(horizon)


class Result:
    def __init__(self, horizon):
        self.radius = np.full((horizon, 1), 2.0)

    def table(self):
        return "the table"

    def conformal(self, level):
        return self


@pytest.fixture
def models(monkeypatch):
    made = []

    def new_model(season, transform, num_values):
        made.append(LastSeason(season, transform))
        return made[-1], 1

    monkeypatch.setattr(_command_model, "new_model", new_model)
    return made


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, models):
    """Writes `text` to a file, runs the command on it, returns its status and its last line."""
    monkeypatch.chdir(tmp_path)

    def run(text, *flags, time="ds", column="load", horizon=3):
        if text is not None:
            (tmp_path / "data.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        arguments = ["data.csv", "--time", time, "--column", column, "--horizon", str(horizon)]
        try:
            status = command.main([*arguments, *flags])
        except SystemExit as stop:  # of argparse
            status = stop.code
        captured = capsys.readouterr()
        run.output = captured.out
        return status, captured.err

    return run


def rows(times, values, header="ds,load", separator=","):
    lines = [separator.join((str(t), str(v))) for t, v in zip(times, values, strict=True)]
    return "\n".join([header, *lines]) + "\n"


def days(count, first="2024-01-01"):
    return pandas.date_range(first, periods=count).strftime("%Y-%m-%d")


def written(path="forecast.csv"):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split(",") for line in file]


def test_hours_give_dates_intervals_and_a_picture(run, models, tmp_path):
    times = pandas.date_range("2024-03-01", periods=24 * 10, freq="h")
    values = 10 + np.arange(240) % 24 + np.arange(240) // 24
    text = rows(times.strftime("%Y-%m-%d %H:%M:%S"), values)
    status, error = run(text, "--season", "24", "--plot", "forecast.png", horizon=26)
    assert (status, error) == (0, "")
    header, *found = written()
    assert header == ["ds", "forecast", "lower", "upper"]
    assert len(found) == 26
    # The last day is 19, 20, ..., 42, and a day changes by 1 against the one before.
    assert found[0] == ["2024-03-11 00:00:00", "19", "17", "21"]
    assert found[25] == ["2024-03-12 01:00:00", "20", "18", "22"]
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")
    (model,) = models
    before, everything = (fitted["load"] for fitted in model.fitted)
    assert everything.index.freq == "h"
    np.testing.assert_array_equal(everything, values)
    held_out = 240 - len(before)
    assert 26 <= held_out <= 120
    assert f"all but the last {held_out} values" in run.output
    assert "the table" in run.output


def test_ids_come_in_front_each_with_its_own_end(run, models):
    text = "month,shop,sales\n"
    for month in range(1, 13):
        text += f"2023-{month:02},Bonn,{month}\n"
        text += f"2022-{month:02},Köln,{10 * month}\n"
    status, error = run(
        text, "--id", "shop", "--season", "0", time="month", column="sales", horizon=2
    )
    assert (status, error) == (0, "")
    header, *found = written()
    assert header == ["shop", "month", "forecast", "lower", "upper"]
    assert found == [
        ["Bonn", "2024-01", "12", "10", "14"],
        ["Bonn", "2024-02", "12", "10", "14"],
        ["Köln", "2023-01", "120", "100", "140"],
        ["Köln", "2023-02", "120", "100", "140"],
    ]
    before, everything = models[0].fitted
    assert [len(one) for one in everything.values()] == [12, 12]
    assert [len(one) for one in before.values()] == [6, 6]


@pytest.mark.parametrize(
    ("times", "following"),
    [
        (range(1990, 2010), ["2010", "2011"]),
        (range(0, 100, 5), ["100", "105"]),
        ([f"{y}Q{q}" for y in range(2019, 2024) for q in range(1, 5)], ["2024Q1", "2024Q2"]),
        ([f"{y}{m:02}" for y in (2022, 2023) for m in range(1, 13)], ["202401", "202402"]),
        (days(20, "2024-02-09"), ["2024-02-29", "2024-03-01"]),
        ([d.replace("-", "") for d in days(20, "2024-02-09")], ["20240229", "20240301"]),
        (
            pandas.bdate_range("2024-02-05", periods=20).strftime("%Y-%m-%d"),
            ["2024-03-04", "2024-03-05"],
        ),
        (
            [f"{m}-15" for m in pandas.period_range("2022-06", periods=20, freq="M")],
            ["2024-02-15", "2024-03-15"],
        ),
        (
            pandas.period_range("2022-05", periods=20, freq="M").to_timestamp(how="end").date,
            ["2024-01-31", "2024-02-29"],
        ),
        (
            pandas.date_range("2024-01-01", periods=20, freq="7D").strftime("%Y-%m-%d"),
            ["2024-05-20", "2024-05-27"],
        ),
        (
            [f"2024-01-01T{h:02}:30Z" for h in range(4, 24)],
            ["2024-01-02T00:30Z", "2024-01-02T01:30Z"],
        ),
        (
            [f"2024-01-01 {h:02}:00+01:00" for h in range(4, 24)],
            ["2024-01-02 00:00+01:00", "2024-01-02 01:00+01:00"],
        ),
    ],
)
def test_times_go_on_as_they_are_written(run, times, following):
    times = list(times)
    status, error = run(rows(times, range(len(times))), "--season", "0", horizon=2)
    assert (status, error) == (0, "")
    assert [row[0] for row in written()[1:]] == following


def test_other_formats_are_read_where_a_flag_says_so(run):
    times = pandas.date_range("2024-01-05", periods=20).strftime("%d.%m.%Y")
    text = rows(times, [f"1.{100 + i},5" for i in range(20)], "ds;load", ";")
    flags = ("--separator", ";", "--decimal", ",", "--time-format", "%d.%m.%Y", "--season", "0")
    assert run(text, *flags) == (0, "")
    assert written()[1][:2] == ["25.01.2024", "1119.5"]


def test_two_utc_offsets_are_read_with_utc(run):
    times = pandas.date_range("2024-03-30", periods=48, freq="h", tz="Europe/Berlin")
    text = rows([time.isoformat() for time in times], range(48))
    status, error = run(text, "--season", "0")
    assert status == 2
    assert "+01:00 on line 2, +02:00 on line 28" in error
    assert "pass --utc" in error
    assert run(text, "--season", "0", "--utc") == (0, "")
    assert written()[1][0] == "2024-03-31T23:00:00+00:00"


def test_gaps_become_missing_values_with_a_note(run, models):
    times = [*days(20)[:8], *days(20)[10:]]
    assert run(rows(times, range(18)), "--season", "0") == (0, "")
    assert "note: 2 times are missing, the first before line 10" in run.output
    assert "are missing: the forecast begins" not in run.output
    assert models[0].fitted[-1]["load"].isna().to_numpy().nonzero()[0].tolist() == [8, 9]


def test_missing_values_at_the_end_are_noted(run):
    assert run(rows(days(20), [*range(18), "", "NA"]), "--season", "0") == (0, "")
    assert "note: the last values are missing: the forecast begins after their times" in run.output
    assert written()[1][:2] == ["2024-01-21", "17"]


GOOD = rows(days(20), range(20))
BAD = {
    "no file": (None, [], "there is no file 'data.csv'"),
    "empty": ("", [], "'data.csv' is empty"),
    "blank lines only": ("\n\n", [], "'data.csv' is empty"),
    "header only": ("ds,load\n", [], "no row below its header"),
    "one row": ("ds,load\n2024-01-01,1\n", [], "only one row below its header"),
    "not text": (b"PK\x03\x04\xff\xfe\x00", [], "is no CSV file in UTF-8"),
    "Latin-1": (GOOD.replace("load", "größe").encode("latin-1"), [], "save it as 'CSV UTF-8'"),
    "missing column": (
        "ds,price\n1,2\n2,3\n",
        [],
        "no column 'load'; the columns are 'ds', 'price'",
    ),
    "missing id": (GOOD, ["--id", "shop"], "no column 'shop'; the columns are 'ds', 'load'"),
    "one column twice": (GOOD, ["--id", "ds"], "one column cannot be two things: 'ds'"),
    "two of a name": (rows(days(5), ["1,2"] * 5, "ds,load,load"), [], "2 columns 'load'"),
    "semicolons": (rows(days(5), range(5), "ds;load", ";"), [], 'pass --separator ";"'),
    "tabs": (rows(days(5), range(5), "ds\tload", "\t"), [], "pass --separator tab"),
    "decimal comma unquoted": (rows(days(5), ["1,5"] * 5), [], "line 2 has 3 fields"),
    "decimal comma": (
        rows(days(5), ['"1.234,5"'] * 5),
        [],
        "line 2: '1.234,5' in column 'load' is no number: pass --decimal \",\"",
    ),
    "thousands comma": (rows(days(5), ['"1,234.5"'] * 5), [], 'pass --decimal "."'),
    "thousands dots": (
        rows(days(5), ["998", "999", "1.000", "1.001", "1.002"]),
        [],
        "line 4: '1.000' in column 'load' can be read in two ways",
    ),
    "dot with a decimal comma": (
        rows(days(5), ["1.5"] * 5),
        ["--decimal", ","],
        'with --decimal "," a dot separates thousands',
    ),
    "text": (
        rows(days(5), [1, 2, "closed", 4, 5]),
        [],
        "line 4: 'closed' in column 'load' is no number",
    ),
    "unit": (rows(days(5), ["5 kWh"] * 5), [], "line 2: '5 kWh'"),
    "underscore": (rows(days(5), ["1_000"] * 5), [], "line 2: '1_000'"),
    "infinite": (rows(days(5), [1, 2, 3, "-inf", 5]), [], "line 5: '-inf' in column 'load' is inf"),
    "overflow": (
        rows(days(5), [1, 2, 3, "1e999", 5]),
        [],
        "line 5: '1e999' in column 'load' is inf",
    ),
    "newest first": (
        rows(days(5)[::-1], range(5)),
        [],
        "line 3: the time 2024-01-04 00:00:00 in column 'ds' comes after 2024-01-05 00:00:00",
    ),
    "duplicate": (
        rows([*days(3), *days(5)[2:]], range(6)),
        [],
        "lines 4 and 5 have the same time 2024-01-03",
    ),
    "no time": (rows(["2024-01-01", "", "2024-01-03"], range(3)), [], "line 3 has no time"),
    "no such day": (
        rows(["2024-02-28", "2024-02-30", "2024-03-01"], range(3)),
        [],
        "line 3: '2024-02-30' in column 'ds' is no time like",
    ),
    "day first": (
        rows(pandas.date_range("2024-01-05", periods=20).strftime("%d/%m/%Y"), range(20)),
        [],
        "the times in column 'ds', such as '05/01/2024', are not written like 2024-01-31: "
        'pass --time-format "%d/%m/%Y"\n',
    ),
    "day or month first": (
        rows(["01/02/2024", "01/03/2024", "01/04/2024"], range(3)),
        [],
        '--time-format "%d/%m/%Y" or --time-format "%m/%d/%Y"',
    ),
    "day first and a typing error": (
        rows(["30.01.2024", "31.01.2024", "32.01.2024"], range(3)),
        [],
        "line 4: '32.01.2024' in column 'ds' is no time",
    ),
    "wrong format": (
        GOOD,
        ["--time-format", "%d.%m.%Y"],
        "line 2: '2024-01-01' in column 'ds' does not fit --time-format '%d.%m.%Y'",
    ),
    "no format": (GOOD, ["--time-format", "%Q"], "--time-format '%Q' is no format of times"),
    "offset missing": (
        rows(["2024-01-01 00:00Z", "2024-01-01 01:00", "2024-01-01 02:00Z"], range(3)),
        ["--utc"],
        "some times in column 'ds' have no UTC offset, others do: Z on line 2, none on line 3",
    ),
    "off the grid": (
        rows(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03 13:00"], range(4)),
        [],
        "line 5: the time 2024-01-03 13:00:00 in column 'ds' does not fit a regular "
        "step of one day",
    ),
    "too many gaps": (
        rows([*days(4), *days(4, "2025-01-01")], range(8)),
        [],
        "too many gaps: 362 of 370 times are missing, if there is one each day; the longest gap "
        "ends on line 6 with 2025-01-01",
    ),
    "all missing": (rows(days(5), [""] * 5), [], "all values in column 'load' are missing"),
    "mostly missing": (
        rows(days(9), [1, 2, 3, *["NA"] * 6]),
        [],
        "6 of 9 values in column 'load' are missing",
    ),
    "constant": (rows(days(5), [7] * 5), [], "column 'load' never changes"),
    "few": (rows(days(2), [1, 2]), [], "column 'load' has 2 value(s): at least 3"),
    "an id with few": (
        "id,ds,load\n"
        + "".join(f"a,{d},{i}\n" for i, d in enumerate(days(9)))
        + "b,2024-01-01,1\n",
        ["--id", "id"],
        "column 'load' has 1 value(s) of id 'b': at least 3",
    ),
    "all ids shorter than a season": (
        "id,ds,load\n"
        + "".join(f"a,{d},{i}\n" for i, d in enumerate(days(6)))
        + "".join(f"b,{d},{i}\n" for i, d in enumerate(days(5))),
        ["--id", "id", "--season", "7"],
        "the longest series has 6 values, and a season of 7 needs at least 9",
    ),
    "an id without name": (
        "id,ds,load\na,2024-01-01,1\n,2024-01-01,2\n",
        ["--id", "id"],
        "line 3 has no id in column 'id'",
    ),
    "season too long": (
        GOOD,
        ["--season", "19"],
        "there are 20 values, and a season of 19 needs at least 21",
    ),
    "backtest too long": (
        GOOD,
        ["--backtest", "17", "--season", "0"],
        "--backtest 17 with --horizon 3 needs at least 21",
    ),
    "level too high": (
        GOOD,
        ["--season", "0", "--level", "0.99"],
        "--level 0.99 needs 99 errors of a backtest, and 8 points with --horizon 3 give 24",
    ),
    "no number of steps": (GOOD, ["--season", "x"], "argument --season: 'x' is no whole number"),
    "no level": (GOOD, ["--level", "80"], "argument --level: '80' is no number between 0 and 1"),
    "no separator": (GOOD, ["--separator", "::"], "'::' is no single character"),
    "no picture": (GOOD, ["--plot", "a.xlsx"], "--plot must end in one of"),
    "no model": (GOOD, ["--model", "a.h5"], "--model must end in .keras"),
    "no folder": (
        GOOD,
        ["--output", "nowhere/a.csv"],
        "folder of --output does not exist: 'nowhere'",
    ),
    "a folder": (GOOD, ["--output", "."], "--output '.' is a folder"),
    "its own file": (GOOD, ["--output", "data.csv", "--force"], "'data.csv' is the CSV file too"),
    "twice": (GOOD, ["--output", "a.png", "--plot", "./a.png"], "--plot 'a.png' is --output too"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_or_argument_is_one_line_before_any_training(run, models, tmp_path, case):
    text, flags, message = BAD[case]
    status, error = run(text, *flags)
    assert status == 2
    assert re.fullmatch(r"error: [^\n]+\n", error), error
    assert message in error
    assert models == []
    assert not (tmp_path / "forecast.csv").exists()


def test_nothing_is_overwritten_without_force(run, models, tmp_path):
    for name, flags in (("forecast.csv", ()), ("a.png", ("--plot", "a.png"))):
        (tmp_path / name).write_text("precious")
        status, error = run(GOOD, "--season", "0", *flags)
        assert status == 2
        assert f"'{name}' exists: pass --force to overwrite it" in error
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / "forecast.csv").unlink(missing_ok=True)
    assert models == []
    assert run(GOOD, "--season", "0", "--plot", "a.png", "--force") == (0, "")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_permission_is_found_before_training(run, models, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    status, error = run(GOOD)
    assert status == 2
    assert error == "error: --output 'forecast.csv' cannot be written: no permission\n"
    assert models == []


@pytest.mark.parametrize(("module", "extra"), [("pandas", "pandas"), ("matplotlib", "plot")])
def test_what_is_not_installed_is_named(run, monkeypatch, models, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    status, error = run(GOOD, "--plot", "a.png")
    assert status == 2
    assert error.count("\n") == 1
    assert f"pip install 'kerazoo[{extra}]'" in error
    assert models == []


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A forecaster with a season of 7 days, and its intervals for 3 of them."""
    path = tmp_path_factory.mktemp("models") / "days.keras"
    model = StatefulLSTMForecaster(units=(2,), seasonal_difference=7)
    intervals = _command_model.Intervals(level=0.8, radius=[1.0, 2.0, 3.0], period="day")
    _command_model.save_model(path, model, intervals)
    return path


def test_a_saved_model_comes_back_with_its_intervals(saved):
    model, intervals = _command_model.load_model(saved, season=7)
    assert isinstance(model, StatefulLSTMForecaster)
    assert intervals == _command_model.Intervals(0.8, [1.0, 2.0, 3.0], "day")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--season", "12"], "has season 7, not 12"),
        (["--transform", "log"], "has transform None, not log"),
        (["--epochs", "5"], "--epochs has no effect"),
        (["--seed", "5"], "--seed has no effect"),
        (["--backtest", "5"], "--backtest has no effect"),
        (["--level", "0.9"], "has intervals of --level 0.8, not 0.9"),
        (["--horizon", "4"], "has intervals for a --horizon of at most 3, not 4"),
    ],
)
def test_a_saved_model_must_fit_the_request(run, saved, models, flags, message):
    status, error = run(GOOD, "--model", str(saved), *flags)
    assert status == 2
    assert message in error
    assert models == []


def test_a_saved_model_must_fit_the_times(run, saved):
    times = pandas.period_range("2022-01", periods=20, freq="M")
    status, error = run(rows(times, range(20)), "--model", str(saved))
    assert status == 2
    assert "is of values one each day; here they are one each month" in error


def test_a_file_that_is_no_forecaster_is_not_loaded(run, saved, tmp_path):
    (tmp_path / "text.keras").write_text("hello")
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(tmp_path / "dense.keras")
    for name, message in (("text", "cannot be loaded"), ("dense", "is a Sequential, no Stateful")):
        status, error = run(GOOD, "--model", f"{name}.keras")
        assert status == 2
        assert message in error


def test_without_a_backtest_there_are_no_intervals(run):
    assert run(GOOD, "--season", "0", "--backtest", "0", "--plot", "a.png") == (0, "")
    assert written()[1] == ["2024-01-21", "19", "", ""]
    assert run(rows(days(4), range(4)), "--season", "0", "--force") == (0, "")
    assert "too few values for a backtest" in run.output


def test_help_shows_an_example(run):
    assert run(GOOD, "--help") == (0, "")
    assert "python -m kerazoo.models.forecasting data.csv --time ds" in run.output
    assert max(map(len, run.output.splitlines())) <= 100


def test_an_id_shorter_than_a_season_is_forecast_too(run):
    text = "id,ds,load\n" + "".join(f"a,{d},{i}\n" for i, d in enumerate(days(40)))
    text += "".join(f"b,{d},{i % 2}\n" for i, d in enumerate(days(5)))
    assert run(text, "--id", "id") == (0, "")
    assert [row[:2] for row in written()[4:]] == [["b", f"2024-01-0{day}"] for day in (6, 7, 8)]


@pytest.mark.parametrize("transform", [None, "log", "log1p", "sqrt"])
def test_with_a_transform_no_interval_reaches_below_zero(transform):
    index = pandas.date_range("2024-01-01", periods=8)
    series = {"load": pandas.Series([1.0, 2.0] * 4, index)}
    intervals = _command_model.Intervals(0.8, [0.5, 3.0, 3.0], "day")
    found = _command_model.forecast(LastSeason(2, transform), series, 2, intervals)["load"]
    # The naive error of a season of two is 0, so the unit is that of one step, 1.
    np.testing.assert_allclose(found["lower"], [0.5, 0.0 if transform else -1.0])
    np.testing.assert_allclose(found["upper"], [1.5, 5.0])


def monthly(months):
    """Sales that repeat themselves each four months."""
    times = pandas.period_range("2022-01", periods=months, freq="M")
    return rows(times, [[10, 20, 40, 80][i % 4] for i in range(months)])


def new_tiny_model(season, transform, num_values):
    model = StatefulLSTMForecaster((2,), transform=transform, seasonal_difference=season)
    model.compile("adam", run_eagerly=True)
    return model, 1


def test_a_real_model_forecasts(run, monkeypatch, models):
    monkeypatch.setattr(_command_model, "new_model", new_tiny_model)
    assert run(monthly(14), "--season", "4", "--backtest", "0", horizon=2) == (0, "")
    found = written()[1:]
    assert [row[0] for row in found] == ["2023-03", "2023-04"]
    np.testing.assert_allclose([float(row[1]) for row in found], [40, 80], rtol=0.05)


@pytest.mark.slow
def test_a_model_is_trained_saved_and_used_again(run, tmp_path):
    flags = ("--season", "4", "--model", "months.keras", "--plot", "months.png", "--force")
    training = ("--transform", "log", "--level", "0.9", "--epochs", "5")
    # The real `new_model`: the fixture replaced it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_command_model, "new_model", NEW_MODEL)
        assert run(monthly(40), *flags, *training, horizon=2) == (0, "")
    assert "seasonal naive" in run.output
    assert "Training on all values" in run.output
    first = written()
    assert [row[0] for row in first[1:]] == ["2025-05", "2025-06"]
    for forecast, lower, upper in np.array([row[1:] for row in first[1:]], float):
        assert 0 <= lower <= forecast <= upper
    np.testing.assert_allclose([float(row[1]) for row in first[1:]], [10, 20], rtol=0.1)
    # One month later; level and transform are those of the file.
    (tmp_path / "months.png").rename(tmp_path / "before.png")
    assert run(monthly(41), *flags, horizon=2) == (0, "")
    assert "Training" not in run.output
    assert [row[0] for row in written()[1:]] == ["2025-06", "2025-07"]
    assert all(row[2] for row in written()[1:])
    for name in ("before.png", "months.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    # The file is a plain Keras file; saved by Keras again it has forecasts, and no intervals.
    model = keras.saving.load_model("months.keras")
    assert (model.transform, model.seasonal_difference) == ("log", 4)
    model.save("again.keras")
    later = written()
    assert run(monthly(41), "--model", "again.keras", "--force", horizon=2) == (0, "")
    assert "note: again.keras holds no intervals" in run.output
    assert written()[1] == [*later[1][:2], "", ""]
