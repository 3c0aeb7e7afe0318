"""Do two processes take the steps that one takes on the whole batch?

Starts two workers of `tf.distribute.MultiWorkerMirroredStrategy` on this machine's loopback, lets
them fit one network together with Levenberg-Marquardt, does the same in a process of its own, and
compares the weights. A worker that dies ends the other with an error that says so, and then this:
the others notice within about ten seconds, and are ended after `--grace`; no run takes longer than
`--limit`.

    python scripts/train_two_workers.py
    python scripts/train_two_workers.py --lose-worker-after 3   # what a dead worker looks like
    python scripts/train_two_workers.py --batch-size 500 --unequal-seeds    # and unequal batches
    python scripts/train_two_workers.py --units 447 --hidden 4 --solver dual    # 602,557 weights
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WORKERS = 2


def main():
    arguments = parsed()
    if arguments.task is not None:
        return work(arguments)
    with tempfile.TemporaryDirectory() as folder:
        workers = [start(arguments, task, folder) for task in tasks()]
        failed = watch(workers, arguments)
        if failed:
            sys.exit(f"{failed}: both workers have to be started again")
        return compare(arguments, folder)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2001)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=1, help="layers of so many units")
    parser.add_argument(
        "--solver", default="auto", choices=["auto", "cholesky", "qr", "dual", "cg"]
    )
    parser.add_argument("--jacobian-rows", type=int, help="default: as many as memory allows")
    parser.add_argument("--precision", default="float64", choices=["float32", "float64"])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, help="default: the whole data set")
    parser.add_argument("--limit", type=float, default=300, help="seconds for the whole run")
    parser.add_argument("--grace", type=float, default=45, help="seconds after a worker's death")
    parser.add_argument("--lose-worker-after", type=int, metavar="EPOCHS")
    parser.add_argument(
        "--unequal-seeds", action="store_true", help="each worker shuffles in its own way"
    )
    parser.add_argument("--task", help=argparse.SUPPRESS)  # a worker's TF_CONFIG
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def tasks():
    """A TF_CONFIG for each worker, on free ports of the loopback."""
    sockets = [socket.socket() for _ in range(WORKERS)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    cluster = {"worker": addresses}
    return [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(WORKERS)]


def start(arguments, task, folder):
    command = [sys.executable, __file__, *sys.argv[1:], "--task", json.dumps(task)]
    process = subprocess.Popen(
        [*command, "--folder", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    process.errors = []
    name = f"worker {task['task']['index']}"

    def show(stream):
        for line in stream:
            print(f"{name}: {line}", end="", flush=True)

    for target, stream in ((show, process.stdout), (process.errors.extend, process.stderr)):
        threading.Thread(target=target, args=(stream,), daemon=True).start()
    return process


def watch(workers, arguments):
    """Waits until all have ended; the reason if one did not end well."""
    began, deadline, reason = time.monotonic(), arguments.limit, None
    while any(worker.poll() is None for worker in workers):
        elapsed = time.monotonic() - began
        lost = [i for i, worker in enumerate(workers) if worker.poll()]
        if lost and reason is None:
            reason = f"worker {lost[0]} ended with code {workers[lost[0]].returncode}"
            deadline = min(deadline, elapsed + arguments.grace)
        if elapsed > deadline:
            reason = reason or f"not done after {arguments.limit:.0f} s"
            for worker in workers:
                worker.kill()
        time.sleep(0.1)
    for i, worker in enumerate(workers):
        worker.wait()
        if worker.returncode:
            reason = reason or f"worker {i} ended with code {worker.returncode}"
            said = [line for line in worker.errors if line.startswith(("RuntimeError", "ValueErr"))]
            print(f"worker {i}: {''.join(said or worker.errors[-5:])}", end="", flush=True)
    return reason


def work(arguments):
    """One worker: an ordinary Keras script, but for the strategy and its scope."""
    os.environ["TF_CONFIG"] = arguments.task
    index = json.loads(arguments.task)["task"]["index"]
    import tensorflow as tf

    # Before anything else: it joins the other workers.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import keras
    import numpy as np

    class Lost(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if index == 1 and epoch + 1 == arguments.lose_worker_after:
                os._exit(1)

    seed = index if arguments.unequal_seeds else 0
    verbose = 0 if index else 2
    history, weights, seconds = fit(arguments, strategy, seed, [Lost()], verbose)
    np.save(Path(arguments.folder, f"weights_{index}.npy"), weights)
    print(f"loss {history['loss'][-1]:.6e}, {seconds:.1f} s with tracing", flush=True)


def fit(arguments, strategy=None, seed=0, callbacks=(), verbose=0):
    import keras
    import numpy as np
    import tensorflow as tf

    import kerazoo

    keras.config.set_floatx(arguments.precision)
    keras.config.set_dtype_policy(arguments.precision)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (arguments.examples, 2))
    y = np.sin(4 * x[:, :1]) * np.cos(3 * x[:, 1:]) + 0.01 * rng.normal(size=(len(x), 1))
    with (strategy or tf.distribute.get_strategy()).scope():
        hidden = [keras.layers.Dense(arguments.units, "tanh") for _ in range(arguments.hidden)]
        network = keras.Sequential([keras.Input((2,)), *hidden, keras.layers.Dense(1)])
        model = kerazoo.models.LeastSquares(network)
        optimizer = kerazoo.optimizers.LevenbergMarquardt(
            "nielsen",
            solver=arguments.solver,
            jacobian_rows=arguments.jacobian_rows or "auto",
            cg_tolerance=1e-10 if arguments.precision == "float64" else 1e-6,
        )
        model.compile(optimizer, loss="mse")
    began = time.monotonic()
    history = model.fit(
        x,
        y,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        callbacks=list(callbacks),
        verbose=verbose,
    ).history
    seconds = time.monotonic() - began
    return history, np.concatenate([np.ravel(w) for w in model.get_weights()]), seconds


def compare(arguments, folder):
    import numpy as np

    first, second = (np.load(Path(folder, f"weights_{i}.npy")) for i in range(WORKERS))
    history, alone, seconds = fit(arguments)
    print(f"one process: loss {history['loss'][-1]:.6e}, {seconds:.1f} s with tracing")
    print(f"weights: {len(alone)}")
    print(f"the workers' weights are equal: {np.array_equal(first, second)}")
    difference = np.max(np.abs(first - alone)) / np.max(np.abs(alone))
    print(f"largest difference from one process, relative: {difference:.1e}")


if __name__ == "__main__":
    main()
