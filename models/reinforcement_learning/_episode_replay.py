import numpy as np


class EpisodeReplay:
    """Whole episodes, the oldest forgotten first, and windows drawn from them.

    An episode of T steps is its observations (T + 1, ...), the last one included, its actions
    (T, ...) and rewards (T,), and whether it terminated.
    """

    def __init__(self, capacity):
        self.capacity = capacity
        self.episodes = []
        self.steps = 0

    def add(self, observations, actions, rewards, terminated):
        self.episodes.append((observations, actions, rewards, terminated))
        self.steps += len(actions)
        while self.steps - len(self.episodes[0][1]) >= self.capacity:
            self.steps -= len(self.episodes.pop(0)[1])

    def state(self):
        """All of it as a dict of arrays."""
        *columns, terminated = zip(*self.episodes, strict=True)
        names = ("observations", "actions", "rewards")
        arrays = {name: np.concatenate(c) for name, c in zip(names, columns, strict=True)}
        lengths = np.array([len(actions) for actions in columns[1]])
        return {**arrays, "lengths": lengths, "terminated": np.array(terminated)}

    def set_state(self, arrays):
        lengths = arrays["lengths"]
        starts = np.cumsum(lengths)[:-1]
        self.episodes = list(
            zip(
                np.split(arrays["observations"], np.cumsum(lengths + 1)[:-1]),
                np.split(arrays["actions"], starts),
                np.split(arrays["rewards"], starts),
                arrays["terminated"].tolist(),
                strict=True,
            )
        )
        self.steps = int(lengths.sum())

    def sample(self, generator, batch_size, burn_in, length):
        """A dict of arrays (batch, burn_in + length, ...), observations one step longer.

        The first of the `length` steps is any step of the replay, all equally likely. `before` it
        come `burn_in` more, as far as the episode reaches back; `seen` says where there is an
        observation, `counts` which steps are in the episode and no burn-in.
        """
        steps = burn_in + length
        lengths = np.array([len(actions) for _, actions, _, _ in self.episodes])
        chosen = generator.choice(len(lengths), batch_size, p=lengths / lengths.sum())
        shape = self.episodes[0][0].shape[1:]
        batch = {
            "observations": np.zeros((batch_size, steps + 1, *shape), "float32"),
            "seen": np.zeros((batch_size, steps + 1), bool),
            "actions": np.zeros((batch_size, steps, *self.episodes[0][1].shape[1:]), "int32"),
            "rewards": np.zeros((batch_size, steps), "float32"),
            "terminated": np.zeros((batch_size, steps), bool),
            "counts": np.zeros((batch_size, steps), "float32"),
        }
        for row, index in enumerate(chosen):
            observations, actions, rewards, terminated = self.episodes[index]
            first = int(generator.integers(len(actions)))
            start, stop = max(first - burn_in, 0), min(first + length, len(actions))
            # Step `first` of the episode stands at `burn_in` of the window.
            here = slice(start - first + burn_in, stop - first + burn_in)
            batch["observations"][row, here.start : here.stop + 1] = observations[start : stop + 1]
            batch["seen"][row, here.start : here.stop + 1] = True
            batch["actions"][row, here] = actions[start:stop]
            batch["rewards"][row, here] = rewards[start:stop]
            batch["terminated"][row, here.stop - 1] = terminated and stop == len(actions)
            batch["counts"][row, burn_in : here.stop] = 1.0
        return batch
