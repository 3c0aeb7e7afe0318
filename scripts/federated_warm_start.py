"""Do federated clients really start from a pretrained model?

    python scripts/federated_warm_start.py                  in this process, nothing to install
    python scripts/federated_warm_start.py --flower         through Flower's simulation engine;
                                                            pip install '.[federated]'

A network is pretrained on one part of scikit-learn's digits. The rest is split among clients by
label, so that each has mostly some of the digits, and they go on by federated averaging: in each
round every client takes the server's weights, trains on its own data, and sends its weights back;
the server averages them by the number of examples. Printed is what each client measures on
arrival, before it trains: in the first round exactly the pretrained accuracy, where a cold start
is at about .1; and the accuracy of the average on held-out images.

In Flower the weights travel in `initial_arrays` and the client sets what it is sent. Weights that a
client loads by itself are overwritten: that, not a bug, is why warm starts seem to be ignored.
"""

import argparse
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from kerazoo.initializers import transfer_weights

CLIENTS = 4


def build():
    layers = [
        keras.layers.Dense(64, "relu", name="first"),
        keras.layers.Dense(64, "relu", name="second"),
        keras.layers.Dense(10, name="digits"),
    ]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return model


def data():
    """What the pretraining sees, one part a client, and what is held out of all."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=400, random_state=0)
    before, rest = (x[:400], y[:400]), (x[400:], y[400:])
    # Half of each client's images are of its own digits.
    rng = np.random.default_rng(0)
    own = rng.uniform(size=len(rest[1])) < 0.5
    client = np.where(own, rest[1] % CLIENTS, rng.integers(CLIENTS, size=len(rest[1])))
    parts = [(rest[0][client == i], rest[1][client == i]) for i in range(CLIENTS)]
    return before, parts, (x_test, y_test)


def accuracy(model, part):
    return model.evaluate(*part, verbose=0)[1]


def train_client(model, weights, part):
    """What a client does in one round, in whichever process: measure, train, send."""
    model.set_weights(weights)
    on_arrival = accuracy(model, part)
    model.fit(*part, batch_size=16, epochs=1, verbose=0)
    return model.get_weights(), len(part[1]), on_arrival


def average(results):
    total = sum(examples for _, examples, _ in results)
    return [
        sum(weights[i] * (examples / total) for weights, examples, _ in results)
        for i in range(len(results[0][0]))
    ]


def in_process(model, parts, test, rounds):
    """Federated averaging in a loop."""
    weights, arrivals, held_out = model.get_weights(), [], []
    client = build()  # serves all clients in turn: SGD keeps nothing between rounds
    for _ in range(rounds):
        results = [train_client(client, weights, part) for part in parts]
        weights = average(results)
        model.set_weights(weights)
        arrivals.append([on_arrival for _, _, on_arrival in results])
        held_out.append(accuracy(model, test))
    return arrivals, held_out


def through_flower(model, parts, test, rounds):
    """The same by Flower: one process a client, and its own averaging."""
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    client = ClientApp()
    server = ServerApp()
    arrivals, held_out = [], []

    @client.train()
    def train(message: Message, context: Context):
        part = parts[int(context.node_config["partition-id"])]
        weights, examples, on_arrival = train_client(
            build(), message.content["arrays"].to_numpy_ndarrays(), part
        )
        metrics = {
            "num-examples": examples,
            "on-arrival": on_arrival,
            "client": int(context.node_config["partition-id"]),
        }
        content = RecordDict({"arrays": ArrayRecord(weights), "metrics": MetricRecord(metrics)})
        return Message(content=content, reply_to=message)

    class Recorded(FedAvg):
        """Flower's averaging, with what each client measured on arrival kept apart."""

        def aggregate_train(self, server_round, replies):
            replies = list(replies)
            metrics = sorted(
                (reply.content["metrics"] for reply in replies), key=lambda m: m["client"]
            )
            arrivals.append([m["on-arrival"] for m in metrics])
            return super().aggregate_train(server_round, replies)

    def evaluate(server_round, arrays):
        model.set_weights(arrays.to_numpy_ndarrays())
        if server_round:
            held_out.append(accuracy(model, test))
        return MetricRecord({"accuracy": accuracy(model, test)})

    @server.main()
    def main(grid: Grid, context: Context):
        strategy = Recorded(
            fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=len(parts)
        )
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(model.get_weights()),
            num_rounds=rounds,
            evaluate_fn=evaluate,
        )

    run_simulation(server, client, num_supernodes=len(parts))
    return arrivals, held_out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flower", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    run = through_flower if options.flower else in_process

    keras.utils.set_random_seed(0)
    before, parts, test = data()
    pretrained = build()
    pretrained.fit(*before, batch_size=16, epochs=60, verbose=0)
    warm, cold = build(), build()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pretrained.keras")
        pretrained.save(path)
        print(transfer_weights(path, warm, strict=True).table())

    print(f"\n{len(parts)} clients with {[len(y) for _, y in parts]} images")
    for name, model in (("warm", warm), ("cold", cold)):
        expected = [accuracy(pretrained if name == "warm" else cold, part) for part in parts]
        print(f"\n{name} start, held out before: {accuracy(model, test):.3f}")
        arrivals, held_out = run(model, parts, test, options.rounds)
        if not np.allclose(arrivals[0], expected, atol=1e-6):
            raise SystemExit(f"A client did not start from this model: {arrivals[0]}, {expected}")
        for i, (on_arrival, after) in enumerate(zip(arrivals, held_out, strict=True), start=1):
            shown = " ".join(f"{value:.3f}" for value in on_arrival)
            print(f"round {i}: clients on arrival {shown}; held out after {after:.3f}", flush=True)
        print(f"First evaluation of every client equals the {name} model's: yes")


if __name__ == "__main__":
    main()
