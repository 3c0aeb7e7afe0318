import math

import keras
import numpy as np

from .._arguments import (
    choice,
    in_words,
    integer,
    integer_or_none,
    integers,
    number,
    positive_integer,
    wrong,
)
from ._student_t import student_quantile


class SeedReport:
    """The scores of one or more recipes over the same seeds; `seed_report` makes one.

    Attributes:
        seeds: List of integers.
        scores: Dict of arrays `(seeds,)` by the name of the recipe.

    Example:

    >>> report = kerazoo.models.SeedReport([0, 1], {"a": [0.90, 0.94], "b": [0.91, 0.96]})
    >>> report.mean("b"), round(report.difference("a", "b")[0], 3)
    (0.935, 0.015)
    """

    def __init__(self, seeds, scores):
        self.seeds = list(integers("seeds", seeds))
        if not isinstance(scores, dict):
            raise wrong("scores", "a dict of scores by recipe", scores)
        self.scores = {name: _scores(name, values, self.seeds) for name, values in scores.items()}
        if not self.scores:
            raise ValueError("`scores` must hold a recipe. Received: an empty dict")

    def mean(self, name):
        return float(self.scores[choice("name", name, list(self.scores))].mean())

    def std(self, name):
        """Standard deviation of one run, estimated from these; NaN from a single one."""
        values = self.scores[choice("name", name, list(self.scores))]
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan

    def difference(self, first, second, confidence=0.95):
        """How much `second` scores above `first` on the same seeds.

        Returns:
            `(mean, low, high)`: the mean difference and Student's interval for it. An interval
            that holds 0 means: these runs do not tell the two apart.
        """
        for argument, name in (("first", first), ("second", second)):
            choice(argument, name, list(self.scores))
        confidence = number("confidence", confidence, above=0, below=1)
        differences = self.scores[second] - self.scores[first]
        mean, n = float(differences.mean()), len(differences)
        if n < 2:
            return mean, -math.inf, math.inf
        error = differences.std(ddof=1) / math.sqrt(n)
        reach = float(student_quantile((1 + confidence) / 2, n - 1) * error)
        return mean, mean - reach, mean + reach

    def table(self):
        """One line a recipe: mean, spread, range; then the difference of each to the first."""
        width = max(8, *(len(name) for name in self.scores))
        lines = [
            f"{len(self.seeds)} seeds{'':<{width - 5}}{'mean':>9}{'std':>9}{'min':>9}{'max':>9}"
        ]
        for name, values in self.scores.items():
            numbers = (self.mean(name), self.std(name), values.min(), values.max())
            lines.append(f"{name:<{width + 2}}" + "".join(f"{number:>9.4f}" for number in numbers))
        first, *others = self.scores
        for name in others:
            mean, low, high = self.difference(first, name)
            lines.append(f"{name} - {first}: {mean:+.4f}, 95 % interval [{low:+.4f}, {high:+.4f}]")
        return "\n".join(lines)


def seed_report(build_and_train, seeds=5, verbose=1):
    """Trains the same recipe from several seeds, and says how much of a score is luck.

    A seed is not a hyper-parameter: the best of many seeds is luck in initialization, shuffling
    and dropout that does not repeat on new data, so tune what you would set again, and report mean
    and spread. Two recipes are compared on the same seeds, where part of the luck cancels; five
    seeds tell only differences of about the spread apart.

    Args:
        build_and_train: Function of one argument, the seed, that builds, trains and returns one
            score; or a dict of such functions by name, the first the one to compare with. Python's,
            NumPy's and Keras's generators are seeded before each call.
        seeds: Positive integer, for the seeds 0 to seeds - 1 (default 5), or a sequence of seeds.
        verbose: 1 (default) shows progress, 0 nothing.

    Returns:
        A `SeedReport`: `.mean(name)`, `.std(name)`, `.difference(first, second)`, `.table()`,
        `.scores`.

    Raises:
        ValueError: there is no seed or no recipe, a seed is negative, or a score is not one finite
            number: of a dict of metrics return the one that is to be compared.

    Example:

    >>> report = kerazoo.models.seed_report(lambda seed: np.random.normal(), seeds=3, verbose=0)
    >>> len(report.scores["score"])
    3

    References:
        Picard, 2021, torch.manual_seed(3407) is all you need, https://arxiv.org/abs/2109.08203
    """
    if integer_or_none(seeds) is not None:
        seeds = range(positive_integer("seeds", seeds))
    seeds = integers("seeds", seeds, minimum=0, maximum=2**32 - 1)
    if len(set(seeds)) < len(seeds):
        raise wrong("seeds", "different integers: the same seed says nothing new", seeds)
    verbose = integer("verbose", verbose, minimum=0, maximum=1)
    recipes = build_and_train if isinstance(build_and_train, dict) else {"score": build_and_train}
    if not recipes or not all(map(callable, recipes.values())):
        raise wrong("build_and_train", "a function, or a dict of functions", build_and_train)
    scores = {name: [] for name in recipes}
    bar = keras.utils.Progbar(len(seeds) * len(recipes), verbose=verbose, unit_name="run")
    for seed in seeds:
        for name, train in recipes.items():
            keras.utils.set_random_seed(seed)
            score = train(seed)
            value = _finite_number(score)
            if value is None:
                raise ValueError(
                    "`build_and_train` must return one finite number. "
                    f"Received: {in_words(score)} from {name!r} with seed {seed}"
                )
            scores[name].append(value)
            bar.add(1)
    return SeedReport(seeds, scores)


def _finite_number(score):
    """A number, also one in a tensor of no axes, as a float; else None."""
    if isinstance(score, (str, bytes, bool, np.bool_)):
        return None
    if keras.ops.is_tensor(score):
        score = keras.ops.convert_to_numpy(score)
    try:
        value = np.asarray(score, "float64")
    except (TypeError, ValueError):
        return None
    return float(value) if value.shape == () and np.isfinite(value) else None


def _scores(name, values, seeds):
    values = np.asarray(values, "float64")
    if values.shape != (len(seeds),) or not np.isfinite(values).all():
        raise ValueError(
            "`scores` must hold a finite number for each seed. "
            f"Received: {in_words(values)} for {name!r} and {len(seeds)} seeds"
        )
    return values
