"""How well do maxout, PReLU, residual and ReLU networks read digits, and how much is the seed?

    python scripts/train_digits.py                                  PReLU on 5,000 MNIST images
    python scripts/train_digits.py --model maxout
    python scripts/train_digits.py --model residual --data digits   four starts of 50 blocks

`--data mnist`: 4,000 training and 1,000 test images, always the same split; training images are
shifted and turned a little. `--data digits`: scikit-learn's 1,797 images of 8 x 8 pixels, a fifth
of them for the test, as vectors. Accuracy on the test images after the last epoch, mean and
standard deviation over the seeds. The picture shows the mistakes of the last network; of several
starts how each of them learns.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import mnist_5k
import numpy as np
import tensorflow as tf

from kerazoo.models import MaxoutNetwork, PReLUNetwork, ResidualNetwork, seed_report

BATCH = 64


def relu_network(input_shape, num_outputs):
    """The PReLU network with ReLU and Keras's usual start, to compare with."""
    x = inputs = keras.Input(input_shape)
    if len(input_shape) == 3:
        for filters in (16, 32, 64):
            for _ in range(2):
                conv = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
                x = conv(x)
            x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(128, "relu")(x)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Dense(num_outputs)(x))


def residual_networks(input_shape, num_outputs):
    image = len(input_shape) == 3
    blocks, strides, width = (8, 2, 32) if image else (50, 1, 64)

    def make(residual):
        return lambda: ResidualNetwork(input_shape, num_outputs, blocks, width, residual, strides)

    names = {"SkipInit": "skip_init", "Fixup": "fixup", "depth-scaled": "depth_scaled", "He": "he"}
    return {f"{name}, {blocks} blocks": make(residual) for name, residual in names.items()}


def networks(model, input_shape):
    if model == "residual":
        return residual_networks(input_shape, 10)
    if model == "maxout":
        # Half of the units, as in the paper, asks for hundreds of epochs.
        return {model: lambda: MaxoutNetwork(input_shape, 10, dropout=0.2)}
    make = {"prelu": PReLUNetwork, "relu": relu_network}[model]
    return {model: lambda: make(input_shape, 10)}


def mnist():
    (x_train, y_train), (x_test, y_test) = mnist_5k.load()
    augment = keras.Sequential(
        [
            keras.layers.RandomTranslation(0.08, 0.08, fill_mode="constant"),
            keras.layers.RandomRotation(0.03, fill_mode="constant"),
        ]
    )

    def batches():
        data = tf.data.Dataset.from_tensor_slices((x_train, y_train))
        data = data.shuffle(len(x_train)).batch(BATCH)
        return data.map(lambda x, y: (augment(x, training=True), y)).prefetch(2)

    return batches, len(x_train), (x_test, y_test)


def digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0)

    def batches():
        data = tf.data.Dataset.from_tensor_slices((x_train, y_train))
        return data.shuffle(len(x_train)).batch(BATCH)

    return batches, len(x_train), (x_test, y_test)


# Epochs and the learning rate to begin with; it falls along a cosine.
DATA = {"mnist": (mnist, 14, 3e-3), "digits": (digits, 10, 1e-3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("prelu", "maxout", "residual", "relu"), default="prelu")
    parser.add_argument("--data", choices=DATA, default="mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the settings'")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("figures"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / f"{options.data}_{options.model}.png"

    load, epochs, rate = DATA[options.data]
    epochs = options.epochs or epochs
    batches, examples, (x_test, y_test) = load()
    models = []

    def recipe(make):
        def train(_):
            model = make()
            models.append(model)
            steps = epochs * -(-examples // BATCH)
            schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
            optimizer = keras.optimizers.Adam(schedule)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer, loss, metrics=["accuracy"])
            model.fit(batches(), epochs=epochs, verbose=0)
            return model.evaluate(x_test, y_test, batch_size=250, verbose=0)[1]

        return train

    start = time.perf_counter()
    recipes = networks(options.model, x_test.shape[1:])
    report = seed_report({name: recipe(make) for name, make in recipes.items()}, options.seeds)
    seconds = time.perf_counter() - start
    print(f"Test accuracy on {options.data}, {epochs} epochs:")
    print(report.table())
    print(f"{seconds:.0f} s in all")
    if len(recipes) == 1:
        plot_mistakes(models[-1], x_test, y_test, picture)
    else:
        curves = [model.history.history["accuracy"] for model in models]
        plot_curves({name: curves[i :: len(recipes)] for i, name in enumerate(recipes)}, picture)
    print(f"\nWrote {picture}")


def plot_curves(curves, path):
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for i, (name, seeds) in enumerate(curves.items()):
        for seed, accuracies in enumerate(seeds):
            epochs = range(1, len(accuracies) + 1)
            ax.plot(epochs, accuracies, color=f"C{i}", label=name if seed == 0 else None)
    ax.set(xlabel="epoch", ylabel="accuracy in training", ylim=(0, 1.02))
    ax.set_title("each line is a seed", fontsize=10, loc="left")
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_mistakes(model, x, y, path, most=20):
    from matplotlib import pyplot as plt

    found = np.argmax(model.predict(x, batch_size=250, verbose=0), axis=-1)
    wrong = np.flatnonzero(found != y)
    size = x.shape[1] if x.ndim == 4 else int(np.sqrt(x.shape[1]))
    figure, axes = plt.subplots(2, most // 2, figsize=(10, 2.8), layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, i in zip(axes.flat, wrong, strict=False):
        ax.imshow(x[i].reshape(size, size), cmap="gray_r")
        ax.set_title(f"{y[i]} read as {found[i]}", fontsize=8)
    figure.suptitle(f"{len(wrong)} of {len(x)} test images misread; at most {most} shown")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
