"""Does a memory help where the pole's and the cart's velocities are hidden?

    python scripts/train_recurrent_q.py --seeds 3 --steps 20000

Trains `kerazoo.models.RecurrentQNetwork` on CartPole-v1 with only positions to be seen, and beside
it the same network whose memory is empty at each step (`memory=False`), with the same seeds and
settings. Prints the greedy policies' mean returns over 100 episodes that neither training nor the
choice of the best weights has seen, and draws the evaluations against the steps.

Settings: the defaults of `train`, and rewards as they are. They were looked at with seed 100 only.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import numpy as np

from kerazoo.models import RecurrentQNetwork

TEST_SEED = 987_654
NAMES = {True: "with memory", False: "without"}


class PositionsOnly(gymnasium.ObservationWrapper):
    """Of cart and pole only where they are: the velocities are hidden."""

    def __init__(self, env):
        super().__init__(env)
        box = env.observation_space
        self.observation_space = gymnasium.spaces.Box(box.low[[0, 2]], box.high[[0, 2]])

    def observation(self, observation):
        return observation[[0, 2]]


def environment():
    return PositionsOnly(gymnasium.make("CartPole-v1"))


def train(memory, seed, steps, episodes, evaluation_every, verbose):
    model = RecurrentQNetwork(2, 2, memory=memory, seed=seed)
    cpu = time.process_time()
    history = model.train(
        environment, steps, seed=seed, evaluation_every=evaluation_every, verbose=verbose
    ).history
    cpu = time.process_time() - cpu
    return history, model.evaluate(episodes, seed=TEST_SEED), cpu


def draw(runs, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for (memory, seed), (history, *_) in runs.items():
        axes.plot(
            np.array(history["steps"]) / 1000,
            history["val_return"],
            "o-" if memory else "s--",
            color="C0" if memory else "C1",
            alpha=0.8,
            ms=4,
            label=NAMES[memory] if seed == 0 else None,
        )
    axes.set(
        xlabel="environment steps (thousands)",
        ylabel="return of a greedy episode",
        title="CartPole-v1 without velocities: evaluations, one line a seed",
    )
    axes.legend(loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--evaluation-every", type=int, default=5_000)
    parser.add_argument("--verbose", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path, default=None)
    arguments = parser.parse_args()
    runs = {}
    for seed in range(arguments.seeds):
        for memory in (True, False):
            runs[memory, seed] = train(
                memory,
                seed,
                arguments.steps,
                arguments.episodes,
                arguments.evaluation_every,
                arguments.verbose,
            )
            history, returns, cpu = runs[memory, seed]
            print(
                f"seed {seed} {NAMES[memory]:12} mean return {returns.mean():6.1f} over "
                f"{len(returns)} unseen episodes, after {history['steps'][-1]:,.0f} steps "
                f"in {cpu:.0f} CPU s",
                flush=True,
            )
    ratios = [
        runs[True, seed][1].mean() / runs[False, seed][1].mean() for seed in range(arguments.seeds)
    ]
    print(
        f"with memory above without on {sum(r > 1 for r in ratios)} of {len(ratios)} seeds; "
        f"ratios {', '.join(f'{r:.2f}' for r in ratios)}"
    )
    folder = arguments.output or pathlib.Path(__file__).parent / "figures"
    draw(runs, folder / "recurrent_q.png")
    print(f"wrote {folder / 'recurrent_q.png'}")


if __name__ == "__main__":
    main()
