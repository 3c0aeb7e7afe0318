"""Does Levenberg-Marquardt help on ordinary tables, and what does it cost?

    python scripts/fit_tabular_levenberg_marquardt.py [--seeds 5]

Three data sets that scikit-learn ships: diabetes (442 x 10, regression), linnerud (20 x 3, three
targets at once) and digits (1797 x 64, ten classes, cross-entropy of logits). A quarter is held
out. A small tanh network with an L2 penalty is trained for at most 300 epochs, or until its loss
no longer falls, by ours, full batch, and by Adam, mini-batches of 32 and ten steps a call, its
learning rate the best of three on a validation part.
Printed: test error, training loss and seconds, each mean and standard deviation over the seeds,
tracing included, beside ridge or logistic regression, which cost next to nothing.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import kerazoo

LEARNING_RATES = (1e-3, 3e-3, 1e-2)


def load(name, seed):
    bunch = getattr(datasets, f"load_{name}")()
    x, y = bunch.data, bunch.target
    stratify = y if name == "digits" else None
    parts = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=stratify)
    x_train, x_test, y_train, y_test = parts
    scaler = StandardScaler().fit(x_train)
    x_train, x_test = scaler.transform(x_train), scaler.transform(x_test)
    if name != "digits":
        rows = y_train.reshape(len(y_train), -1)
        scaler = StandardScaler().fit(rows)
        y_train = scaler.transform(rows)
        y_test = scaler.transform(y_test.reshape(len(y_test), -1))
    return x_train, x_test, y_train, y_test


def make_network(name, x, y, seed):
    keras.utils.set_random_seed(seed)
    units, penalty = (10, 1e-3) if name == "digits" else (4, 1e-2)
    dense, l2 = keras.layers.Dense, keras.regularizers.L2(penalty)
    outputs = 10 if name == "digits" else y.shape[1]
    hidden = dense(units, "tanh", kernel_regularizer=l2)
    return keras.Sequential(
        [keras.Input(x.shape[1:]), hidden, dense(outputs, kernel_regularizer=l2)]
    )


def loss_of(name):
    if name == "digits":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return "mse"


def test_error(name, predictions, y):
    if name == "digits":
        return np.mean(predictions != y)
    return np.mean((predictions.reshape(y.shape) - y) ** 2)


def train_ours(name, x, y, seed):
    network = make_network(name, x, y, seed)
    model = kerazoo.models.LeastSquares(network)
    model.compile(kerazoo.optimizers.LevenbergMarquardt(), loss=loss_of(name))
    patience = keras.callbacks.EarlyStopping("loss", min_delta=1e-5, patience=5)
    history = model.fit(x, y, epochs=300, verbose=0, callbacks=[patience])
    return network, history.history["loss"][-1]


def train_adam(name, x, y, seed, learning_rate):
    network = make_network(name, x, y, seed)
    adam = keras.optimizers.Adam(learning_rate)
    network.compile(adam, loss=loss_of(name), steps_per_execution=10)
    patience = keras.callbacks.EarlyStopping("loss", min_delta=1e-5, patience=20)
    history = network.fit(x, y, epochs=300, verbose=0, callbacks=[patience])
    return network, history.history["loss"][-1]


def best_rate(name, x, y):
    x_part, x_held, y_part, y_held = train_test_split(x, y, test_size=0.25, random_state=0)

    def held_out_loss(rate):
        network, _ = train_adam(name, x_part, y_part, 0, rate)
        return network.evaluate(x_held, y_held, verbose=0)

    return min(LEARNING_RATES, key=held_out_loss)


def train_linear(name, x, y):
    if name == "digits":
        return LogisticRegression(max_iter=2000).fit(x, y)
    return Ridge(alpha=1.0).fit(x, y)


def predict(name, network, x):
    outputs = network.predict(x, verbose=0)
    return outputs.argmax(axis=1) if name == "digits" else outputs


def show(name, method, rows):
    cells = [f"{mean:10.4f} ± {std:.4f}" for mean, std in zip(*_moments(rows), strict=True)]
    print(f"{name:10}{method:22}" + "".join(f"{cell:>22}" for cell in cells))


def _moments(rows):
    rows = np.array(rows, float)
    return rows.mean(axis=0), rows.std(axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    print(f"{'data':10}{'method':22}{'test error':>22}{'training loss':>22}{'seconds':>22}")
    for name in ("diabetes", "linnerud", "digits"):
        rate = best_rate(name, *load(name, 0)[::2])
        rows = {"kerazoo": [], f"Adam({rate:g})": [], "linear": []}
        for seed in seeds:
            x, x_test, y, y_test = load(name, seed)
            for method in list(rows)[:2]:
                began = time.perf_counter()
                if method == "kerazoo":
                    network, loss = train_ours(name, x, y, seed)
                else:
                    network, loss = train_adam(name, x, y, seed, rate)
                seconds = time.perf_counter() - began
                error = test_error(name, predict(name, network, x_test), y_test)
                rows[method].append((error, loss, seconds))
            began = time.perf_counter()
            linear = train_linear(name, x, y)
            seconds = time.perf_counter() - began
            error = test_error(name, linear.predict(x_test), y_test)
            rows["linear"].append((error, np.nan, seconds))
        for method, values in rows.items():
            show(name, method, values)
    print("test error: mean squared error of standardized targets; digits: share of wrong labels")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, NumPy {np.__version__}")


if __name__ == "__main__":
    main()
