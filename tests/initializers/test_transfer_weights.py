import h5py
import keras
import numpy as np
import pytest
from keras import layers

from kerazoo.initializers import transfer_weights

RNG = np.random.default_rng(0)
numpy = keras.ops.convert_to_numpy


def randomized(model):
    for weight in model.weights:
        values = RNG.normal(size=weight.shape)
        weight.assign(np.abs(values) if "variance" in weight.name else values)
    return model


def dense_network(*names, units=8, head=3):
    made = [layers.Dense(units, "relu", name=name) for name in names]
    return keras.Sequential([keras.Input((8,)), *made, layers.Dense(head, name="head")])


def recurrent_network(head=2):
    x = inputs = keras.Input((None, 3))
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.MultiHeadAttention(2, 4, dropout=0.1, name="attention")(x, x)
    x = keras.Sequential([keras.Input((None, 8)), layers.Dense(5, name="inner")], name="nest")(x)
    x = layers.GRU(4, name="gru", dropout=0.2)(x)
    return keras.Model(inputs, layers.Dense(head, name="head")(x))


def values(model):
    return {weight.path: numpy(weight) for weight in model.weights}


def as_source(model, kind, folder):
    if kind == "model":
        return model
    path = folder / f"source{kind}"
    model.save(path) if kind == ".keras" else model.save_weights(path)
    return path


def keys_in(path):
    keys = set()
    with h5py.File(path, "r") as file:
        file.visit(lambda name: keys.update(name.split("/")))
    return keys


KINDS = ["model", ".keras", ".weights.h5"]


@pytest.fixture(scope="module")
def trained():
    source = randomized(recurrent_network())
    source.compile("adam", "mse", metrics=["mae"])
    source.optimizer.build(source.trainable_variables)  # is saved too, and must not disturb
    source(np.ones((4, 5, 3)), training=True)
    return source


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_model(kind, trained, tmp_path):
    """LSTM in both directions, normalization statistics, attention, and a nested model."""
    source, target = trained, recurrent_network()
    report = transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    assert len(report.copied) == len(target.weights)
    assert "norm/moving_variance" in report.copied
    x = RNG.normal(size=(4, 5, 3))
    np.testing.assert_allclose(numpy(target(x)), numpy(source(x)), rtol=1e-6)
    for a, b in zip(source.weights, target.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))


@pytest.mark.parametrize("kind", KINDS)
def test_an_inserted_layer_leaves_the_others_right(kind, tmp_path):
    """Where `load_weights` gives every layer its neighbour's weights, without an error."""
    source = randomized(dense_network("a", "b"))
    target = randomized(dense_network("new", "a", "b"))
    new = target.get_layer("new").get_weights()
    report = transfer_weights(as_source(source, kind, tmp_path), target)
    for name in ("a", "b", "head"):
        np.testing.assert_equal(
            target.get_layer(name).get_weights(), source.get_layer(name).get_weights()
        )
    np.testing.assert_equal(target.get_layer("new").get_weights(), new)
    assert report.missing == ["new/kernel", "new/bias"]
    assert report.unused == report.shape_mismatch == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_of_another_size_is_listed_and_kept(kind, tmp_path):
    source, target = (
        randomized(dense_network("a", "b")),
        randomized(dense_network("a", "b", head=5)),
    )
    before = target.get_layer("head").get_weights()
    report = transfer_weights(as_source(source, kind, tmp_path), target)
    assert report.shape_mismatch == [
        ("head/kernel", (8, 3), (8, 5)),
        ("head/bias", (3,), (5,)),
    ]
    np.testing.assert_equal(target.get_layer("head").get_weights(), before)
    assert report.copied == ["a/kernel", "a/bias", "b/kernel", "b/bias"]
    np.testing.assert_array_equal(
        numpy(target.get_layer("b").kernel), numpy(source.get_layer("b").kernel)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_strict_raises_and_leaves_the_target_bit_equal(kind, tmp_path):
    source = randomized(dense_network("a", "b"))
    for target in (
        dense_network("a", "b", head=5),
        dense_network("a"),
        dense_network("a", "b", "c"),
    ):
        before = values(randomized(target))
        with pytest.raises(ValueError, match="`strict=True`, and not everything fits"):
            transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
        np.testing.assert_equal(values(target), before)


@pytest.mark.parametrize("kind", KINDS)
def test_mapping_into_and_out_of_nested_models(kind, tmp_path):
    source = randomized(recurrent_network())
    inner = keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="lstms"),
        ],
        name="encoder",
    )
    target = keras.Sequential([keras.Input((None, 3)), inner, layers.Dense(5, name="dense_x")])
    report = transfer_weights(
        as_source(source, kind, tmp_path),
        target,
        mapping={"both": "encoder/lstms", "nest/inner": "dense_x"},
    )
    assert len(report.copied) == 8
    for a, b in (("both", inner.get_layer("lstms")), ("nest", target.get_layer("dense_x"))):
        np.testing.assert_equal(b.get_weights(), source.get_layer(a).get_weights())


def test_mapping_of_a_whole_nested_model():
    def model(name):
        nest = keras.Sequential(
            [keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="b")], name=name
        )
        return keras.Sequential([keras.Input((4,)), nest, layers.Dense(2, name="head")])

    source, target = randomized(model("old")), model("new")
    report = transfer_weights(source, target, mapping={"old": "new"}, strict=True)
    assert report.copied[:2] == ["new/a/kernel", "new/a/bias"]
    np.testing.assert_equal(target.get_weights(), source.get_weights())


@pytest.mark.parametrize("skip", ["b", ("b", "head")])
def test_skip(skip):
    source, target = randomized(dense_network("a", "b")), randomized(dense_network("a", "b"))
    before = target.get_layer("b").get_weights()
    report = transfer_weights(source, target, skip=skip, strict=True)
    np.testing.assert_equal(target.get_layer("b").get_weights(), before)
    assert not [path for path in report.copied if path.startswith("b/")]


def unnamed_network(depth):
    return keras.Sequential([keras.Input((8,)), *[layers.Dense(8) for _ in range(depth)]])


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_names_go_by_order_where_there_are_equally_many(kind, tmp_path):
    source = randomized(unnamed_network(3))
    unnamed_network(2)  # moves on the numbers that Keras gives
    target = unnamed_network(3)
    transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    np.testing.assert_equal(target.get_weights(), source.get_weights())


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_names_are_not_guessed(kind, tmp_path):
    keras.backend.clear_session()
    source = randomized(unnamed_network(2))
    keras.backend.clear_session()  # now both models have a "dense" and a "dense_1"
    target = unnamed_network(3)
    before = values(target)
    with pytest.raises(ValueError, match="cannot be told apart"):
        transfer_weights(as_source(source, kind, tmp_path), target)
    np.testing.assert_equal(values(target), before)
    mapping = dict(
        zip([a.name for a in source.layers], [b.name for b in target.layers], strict=False)
    )
    transfer_weights(source, target, mapping=mapping)
    np.testing.assert_array_equal(numpy(target.layers[1].kernel), numpy(source.layers[1].kernel))


def test_another_class_of_the_same_shape_is_no_match():
    """(3, 3, 4, 4) of a transposed convolution has outputs and inputs the other way."""
    models = []
    for cls in (layers.Conv2D, layers.Conv2DTranspose):
        made = [cls(4, 3, name="a"), layers.Conv2D(4, 3, name="b")]
        models.append(randomized(keras.Sequential([keras.Input((9, 9, 4)), *made])))
    report = transfer_weights(*models)
    assert report.missing == report.unused == ["a/kernel", "a/bias"]


@pytest.mark.parametrize("kind", ["model", ".weights.h5"])
def test_subclassed_models(kind, tmp_path):
    class Net(keras.Model):
        def __init__(self, head):
            super().__init__()
            self.blocks = [layers.Dense(4, name="one"), layers.Dense(4, name="two")]
            self.head = layers.Dense(head, name="head")

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    source, target = Net(2), Net(3)
    for model in (source, target):
        model(np.ones((1, 4)))
    randomized(source)
    report = transfer_weights(as_source(source, kind, tmp_path), target)
    assert report.copied == ["one/kernel", "one/bias", "two/kernel", "two/bias"]
    np.testing.assert_array_equal(numpy(target.blocks[1].kernel), numpy(source.blocks[1].kernel))


def test_layers_inside_a_layer_of_ones_own(tmp_path):
    class Block(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.zweite = layers.Dense(4)
            self.parts = [layers.Dense(4), {"x": layers.Dense(4)}]

        def call(self, x):
            return self.zweite(self.parts[1]["x"](self.parts[0](x)))

    def model():
        return keras.Sequential([keras.Input((4,)), Block(name="block"), layers.Dense(2, name="h")])

    source = model()
    source(np.ones((1, 4)))
    randomized(source)
    for kind in ("model", ".weights.h5"):
        target = model()
        target(np.ones((1, 4)))
        chosen = as_source(source, kind, tmp_path)
        if kind == ".weights.h5" and "container" not in keys_in(chosen):
            with pytest.raises(ValueError, match="block/parts/container/dense/kernel"):
                transfer_weights(chosen, target, strict=True)  # Keras 3.10 does not save it
            continue
        transfer_weights(chosen, target, strict=True)
        x = RNG.normal(size=(3, 4))
        np.testing.assert_allclose(numpy(target(x)), numpy(source(x)), rtol=1e-6)


def test_precision_is_the_targets():
    source = randomized(dense_network("a"))
    target = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(8, name="a", dtype="bfloat16"),
            layers.Dense(3, name="head"),
        ]
    )
    transfer_weights(source, target, strict=True)
    assert target.get_layer("a").kernel.dtype == "bfloat16"
    found = keras.ops.cast(target.get_layer("a").kernel, "float32")
    np.testing.assert_allclose(numpy(found), numpy(source.get_layer("a").kernel), rtol=1e-2)


@pytest.mark.parametrize("kind", [".keras", ".weights.h5"])
def test_half_precision_from_a_file(kind, tmp_path):
    def model(dtype):
        return keras.Sequential([keras.Input((8,)), layers.Dense(8, name="a", dtype=dtype)])

    source, target = randomized(model("bfloat16")), model("float32")
    transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    expected = keras.ops.cast(source.layers[0].kernel, "float32")
    np.testing.assert_array_equal(numpy(target.layers[0].kernel), numpy(expected))


def test_values_that_are_not_finite():
    source, target = dense_network("a", "b"), dense_network("a", "b")
    source.get_layer("b").bias.assign([np.nan] * 8)
    before = values(target)
    with pytest.raises(ValueError, match=r"finite weights.*b/bias"):
        transfer_weights(source, target)
    np.testing.assert_equal(values(target), before)
    source.get_layer("b").bias.assign([1e20] * 8)
    half = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="b", dtype="float16")])
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="also as float16"):
        transfer_weights(source, half)


@pytest.mark.parametrize(
    ("source", "target", "arguments", "message"),
    [
        ("model", dense_network("x", head=4), {}, "Nothing could be copied"),
        ("model", dense_network("a"), {"mapping": {"c": "a"}}, "`mapping` must name"),
        ("model", dense_network("a"), {"mapping": {"a": "c"}}, "`mapping` must name"),
        ("model", dense_network("a"), {"mapping": {"a": "a", "b": "a"}}, "two layers to one"),
        ("model", dense_network("a"), {"skip": "heads"}, "`skip` must name"),
        ("weights.json", dense_network("a"), {}, "a path that ends in"),
        (3, dense_network("a"), {}, "a path that ends in"),
        ("model", dense_network("a"), {"mapping": "a"}, "`mapping` must be a dict"),
        ("model", dense_network("a"), {"mapping": {"a": 1}}, "`mapping` must be a dict"),
        ("model", dense_network("a"), {"skip": 1}, "`skip` must be a path"),
        ("model", dense_network("a"), {"skip": [1]}, "`skip` must be a path"),
        ("model", dense_network("a"), {"strict": 1}, "`strict` must be True or False"),
        ("model", layers.Dense(2), {}, "`target` must be a Keras model"),
        ("model", keras.Sequential([layers.Dense(3)]), {}, "must be built"),
    ],
)
def test_errors_leave_the_target(source, target, arguments, message):
    source = randomized(dense_network("a", "b")) if source == "model" else source
    before = values(target)
    with pytest.raises(ValueError, match=message):
        transfer_weights(source, target, **arguments)
    np.testing.assert_equal(values(target), before)


def test_keras_itself_goes_wrong_here(tmp_path):
    """Why this function is there: fails when Keras loads by name, and then it may retire."""
    source, target = (
        randomized(dense_network("a", "b", head=8)),
        dense_network("new", "a", "b", head=8),
    )
    source.save_weights(tmp_path / "source.weights.h5")
    with pytest.warns(UserWarning, match="could not be loaded"):
        target.load_weights(tmp_path / "source.weights.h5", skip_mismatch=True)
    np.testing.assert_array_equal(
        numpy(target.get_layer("new").kernel), numpy(source.get_layer("a").kernel)
    )


class Branches(keras.Model):
    """Attributes before and after `layers`, by which Keras's files are divided."""

    def __init__(self, names=(None,) * 6, **kwargs):
        super().__init__(**kwargs)
        made = iter(names)
        self.second = layers.Dense(4, name=next(made))
        self.first = layers.Dense(4, name=next(made))
        self.blocks = [layers.Dense(4, name=next(made)) for _ in range(2)]
        self.conv = layers.Conv1D(4, 1, name=next(made))
        self.also = layers.Conv1DTranspose(4, 1, name=next(made))

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        for layer in (self.second, self.first, *self.blocks, self.conv, self.also):
            x = layer(x)
        return self.scale * x


X = RNG.normal(size=(2, 3, 4)).astype("float32")


@pytest.mark.parametrize("kind", ["model", ".weights.h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_attributes_of_subclassed_models(kind, nested, tmp_path):
    def model():
        made = Branches("abcdef", name="inside")
        if nested:
            inputs = keras.Input((3, 4))
            made = keras.Model(inputs, made(inputs))
        made(X)
        return randomized(made)

    source, target = model(), model()
    report = transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    assert len(report.copied) == 13
    np.testing.assert_allclose(numpy(target(X)), numpy(source(X)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["model", ".weights.h5"])
def test_a_nested_subclassed_model_whose_file_looks_functional(kind, tmp_path):
    class Late(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.one = layers.Dense(4)
            self.two = layers.Dense(4)

        def call(self, x):
            return self.one(self.two(x))

    def model():
        inputs = keras.Input((3, 4))
        return randomized(keras.Model(inputs, Late(name="late")(inputs)))

    source, target = model(), model()
    transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    np.testing.assert_allclose(numpy(target(X)), numpy(source(X)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["model", ".weights.h5"])
def test_attributes_without_names_are_known_by_the_attribute(kind, tmp_path):
    source, target = Branches(), Branches()
    for model in (source, target):
        model(X)
        randomized(model)
    source = as_source(source, kind, tmp_path)
    assert transfer_weights(source, target, strict=True).copied[-1] == "./scale"
    if kind == "model":
        np.testing.assert_allclose(numpy(target(X)), numpy(source(X)), rtol=1e-5)


def test_a_weight_of_the_model_itself_is_not_forgotten():
    source = keras.Sequential([keras.Input((3, 4)), layers.Dense(4, name="a")])
    target = Branches("abcdef")
    target(X)
    assert "./scale" in transfer_weights(source, target).missing
    with pytest.raises(ValueError, match="strict"):
        transfer_weights(source, target, strict=True)


def named(*names):
    made = [layers.Dense(4, name=name) for name in names]
    return randomized(keras.Sequential([keras.Input((4,)), *made]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("names", "names_there"),
    [
        (("dense_1", "dense_2"), ("dense_2", "dense_1")),
        (("dense_1", "dense_2"), ("dense_2", "dense_3")),
    ],
)
def test_names_and_order_must_not_disagree(names, names_there, kind, tmp_path):
    """Names that look as if Keras had made them up, but are the user's: no silent exchange."""
    source, target = named(*names), named(*names_there)
    before = values(target)
    chosen = as_source(source, kind, tmp_path)
    with pytest.raises(ValueError, match="Names and order of layers must not disagree"):
        transfer_weights(chosen, target)
    np.testing.assert_equal(values(target), before)
    both = sorted(set(names) & set(names_there))
    transfer_weights(chosen, target, mapping={name: name for name in both})
    for name in both:
        np.testing.assert_array_equal(
            numpy(target.get_layer(name).kernel),
            numpy(source.get_layer(name).kernel),
        )
    by_order = dict(zip(names, names_there, strict=True))
    transfer_weights(chosen, target, mapping=by_order, strict=True)
    for a, b in by_order.items():
        np.testing.assert_array_equal(
            numpy(target.get_layer(b).kernel),
            numpy(source.get_layer(a).kernel),
        )


class Encoder(keras.Model):
    """Not a model of layers by its file: it has a weight of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = self.add_weight(shape=(4,), name="scale")
        self.one, self.two = layers.Dense(4), layers.Dense(4)

    def call(self, x):
        return self.scale * self.two(self.one(x))


def encoders(subclassed):
    def encoder(name=None):
        if subclassed:
            made = Encoder(**({"name": name} if name else {}))
            made(np.ones((1, 4), "float32"))
            return randomized(made)
        made = [layers.Dense(4), layers.Dense(4), layers.Dense(4, name="last")]
        return randomized(keras.Sequential([keras.Input((4,)), *made], name=name))

    inputs = keras.Input((4,))
    inner = encoder("encoder")
    larger = keras.Model(inputs, layers.Dense(4, name="last")(inner(inputs)))
    return encoder(), larger, inner


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("subclassed", [False, True])
def test_a_nested_model_to_and_from_the_root(subclassed, kind, tmp_path):
    if subclassed and kind == ".keras":
        kind = "model"  # the class is not registered
    alone, larger, inner = encoders(subclassed)
    x = RNG.normal(size=(3, 4)).astype("float32")
    report = transfer_weights(as_source(larger, kind, tmp_path), alone, mapping={"encoder": ""})
    assert {path.split("/")[0] for path in report.unused} == {"last"}
    assert not report.missing
    found, right = (numpy(model(x)) for model in (alone, inner))
    np.testing.assert_allclose(found, right, rtol=1e-6)
    randomized(alone)
    report = transfer_weights(as_source(alone, kind, tmp_path), larger, mapping={"": "encoder"})
    assert report.missing == ["last/kernel", "last/bias"]
    assert not report.unused
    found, right = (numpy(model(x)) for model in (inner, alone))
    np.testing.assert_allclose(found, right, rtol=1e-6)


def keras_2_file(path, groups, top=None):
    """As Keras 2 writes it by `save_weights`, and by `save` under `model_weights`."""
    with h5py.File(path, "w") as file:
        root = file.create_group(top) if top else file
        root.attrs["layer_names"] = [name.encode() for name in groups]
        root.attrs["keras_version"] = b"2.15.0"
        for name, weights in groups.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key}".encode() for key in weights]
            for key, value in weights.items():
                group.create_dataset(f"{name}/{key}", data=value)
    return path


@pytest.mark.parametrize(
    ("file", "top"),
    [("old.h5", None), ("old.weights.h5", None), ("old.h5", "model_weights")],
)
def test_files_of_keras_2_go_by_the_names_of_layers(file, top, tmp_path):
    def model():
        made = [
            layers.BatchNormalization(name="norm"),
            layers.Bidirectional(layers.LSTM(2), name="both"),
            keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(4)], name="nest"),
            layers.Dense(3),
        ]
        return randomized(keras.Sequential([keras.Input((5, 3)), *made]))

    source, target = model(), model()
    lstm = ["kernel:0", "recurrent_kernel:0", "bias:0"]
    names = {
        "both": [f"{way}_lstm/lstm_cell/{w}" for way in ("forward", "backward") for w in lstm],
        "nest": ["dense_7/kernel:0", "dense_7/bias:0", "dense_8/kernel:0", "dense_8/bias:0"],
        "norm": ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"],
    }
    groups = {"input_1": {}}
    for layer in reversed(source.layers):
        keys = names.get(layer.name, ["kernel:0", "bias:0"])
        name = layer.name if layer.name in names else "dense_4"
        weights = [numpy(w) for w in layer.weights]
        groups[name] = dict(zip(keys, weights, strict=True))
    path = keras_2_file(tmp_path / file, groups, top)
    report = transfer_weights(path, target, strict=True)
    assert len(report.copied) == len(target.weights)
    x = RNG.normal(size=(2, 5, 3)).astype("float32")
    found, right = (numpy(m(x, training=False)) for m in (target, source))
    np.testing.assert_allclose(found, right, rtol=1e-6)


def test_a_file_of_keras_2_that_does_not_fit(tmp_path):
    groups = {"a": {"kernel:0": np.ones((8, 8)), "alpha:0": np.ones(8)}, "head": {}}
    groups["other"] = {"kernel:0": np.ones((8, 8))}
    target = dense_network("a")
    with pytest.raises(
        ValueError, match=r"Nothing could be copied(?s:.*)unused +3  a/kernel, a/al"
    ):
        transfer_weights(keras_2_file(tmp_path / "old.h5", groups), target)


@keras.saving.register_keras_serializable("tests")
class TwoWeights(layers.Layer):
    def __init__(self, order="uv", **kwargs):
        super().__init__(**kwargs)
        self.order = order

    def build(self, input_shape):
        for name in self.order:
            setattr(self, name, self.add_weight((4,), name=name))

    def call(self, x):
        return x * self.u - self.v


def one_layer(layer, shape=(4,)):
    return randomized(keras.Sequential([keras.Input(shape), layer]))


@pytest.mark.parametrize("kind", ["model", ".keras"])
@pytest.mark.parametrize("cls", [layers.LayerNormalization, layers.BatchNormalization])
def test_gamma_is_not_beta(cls, kind, tmp_path):
    source, target = one_layer(cls(center=False, name="n")), one_layer(cls(scale=False, name="n"))
    before = values(target)
    with pytest.raises(ValueError, match=r"missing .*n/beta(?s:.*)unused .*n/"):
        transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    np.testing.assert_equal(values(target), before)


def test_weights_inside_a_layer_go_by_their_names():
    source, target = one_layer(TwoWeights(name="a")), one_layer(TwoWeights("vu", name="a"))
    transfer_weights(source, target, strict=True)
    np.testing.assert_array_equal(numpy(target(X[0])), numpy(source(X[0])))


class Heads(layers.Layer):
    def __init__(self, names, **kwargs):
        super().__init__(**kwargs)
        self.heads = {key: layers.Dense(4, name=name) for key, name in names.items()}

    def build(self, input_shape):
        for layer in self.heads.values():
            layer.build(input_shape)

    def call(self, x):
        return self.heads["p"](x) - 2 * self.heads["q"](x)


@pytest.mark.parametrize("kind", ["model", ".weights.h5"])
@pytest.mark.parametrize("names", [{"p": "p", "q": "q"}, {"p": "dense_1", "q": "dense_2"}])
def test_names_inside_a_layer_must_not_disagree_with_their_order(names, kind, tmp_path):
    there = dict(reversed(names.items()))
    source, target = (one_layer(Heads(order, name="k")) for order in (names, there))
    before = values(target)
    with pytest.raises(ValueError, match=r"same names in another order.*skip='k'"):
        transfer_weights(as_source(source, kind, tmp_path), target)
    np.testing.assert_equal(values(target), before)


def test_made_up_names_inside_a_layer_say_nothing():
    source = one_layer(Heads({"p": "dense_1", "q": "dense_2"}, name="k"))
    target = one_layer(Heads({"p": "dense_2", "q": "dense_3"}, name="k"))
    transfer_weights(source, target, strict=True)
    np.testing.assert_array_equal(numpy(target(X[0])), numpy(source(X[0])))


@pytest.mark.parametrize(("kind", "name"), [*[(kind, None) for kind in KINDS], (".keras", "x")])
def test_another_class_inside_a_wrapper_is_no_match(kind, name, tmp_path):
    source, target = (
        one_layer(layers.TimeDistributed(cls(4, 3, name=name), name="td"), (2, 5, 4))
        for cls in (layers.Conv1D, layers.Conv1DTranspose)
    )
    with pytest.raises(ValueError, match=r"Nothing could be copied(?s:.*)missing +2 "):
        transfer_weights(as_source(source, kind, tmp_path), target)


def test_boundaries_of_bins_go_by_the_path_of_the_layer(tmp_path):
    """Two nested models with a layer of one name each."""

    def network(*boundaries):
        outputs = []
        inputs = keras.Input((4,))
        for name, found in zip(("one", "two"), boundaries, strict=True):
            bins = layers.Discretization(num_bins=3, name="bins")
            bins.bin_boundaries = found
            inner = keras.Input((4,))
            outputs.append(keras.Model(inner, bins(inner), name=name)(inputs))
        return keras.Model(inputs, outputs)

    source, target = network([0.0, 1.0], [5.0, 6.0]), network([2.0, 3.0], [2.0, 3.0])
    transfer_weights(as_source(source, ".keras", tmp_path), target, strict=True)
    found = [layer.layers[-1].bin_boundaries for layer in target.layers[1:]]
    assert found == [[0.0, 1.0], [5.0, 6.0]]


@pytest.mark.parametrize("frozen", [(True, False), (False, True), (True, True)])
def test_what_is_frozen_moves_no_weights_of_a_nested_model_of_keras_2(frozen, tmp_path):
    """Keras 2 saves the weights of a nested model in a row, those that are trained first."""

    def model(is_frozen):
        made = [layers.Dense(4, name="a"), None, layers.Dense(4, name="b")]
        made[1] = layers.BatchNormalization(name="norm")
        nest = keras.Sequential([keras.Input((4,)), *made], name="enc")
        whole = keras.Sequential([keras.Input((4,)), nest, layers.Dense(2, name="h")])
        nest.layers[0].trainable = not is_frozen
        return randomized(whole)

    source, target = map(model, frozen)
    row = sorted(source.layers[0].weights, key=lambda weight: not weight.trainable)
    nest = {"/".join(w.path.split("/")[-2:]) + ":0": numpy(w) for w in row}
    head = {"kernel:0": numpy(source.layers[1].kernel), "bias:0": numpy(source.layers[1].bias)}
    path = keras_2_file(tmp_path / "old.h5", {"enc": nest, "h": head})
    transfer_weights(path, target, strict=True)
    np.testing.assert_equal(target.get_weights(), source.get_weights())


def test_a_frozen_nested_model_without_names_takes_a_trained_one_of_keras_2(tmp_path):
    def model():
        made = [layers.Dense(4), layers.BatchNormalization(), layers.Dense(4)]
        nest = keras.Sequential([keras.Input((4,)), *made], name="enc")
        return randomized(keras.Sequential([keras.Input((4,)), nest]))

    source, target = model(), model()
    row = sorted(source.weights, key=lambda weight: not weight.trainable)
    row = {"/".join(w.path.split("/")[-2:]) + ":0": numpy(w) for w in row}
    target.trainable = False
    transfer_weights(keras_2_file(tmp_path / "old.h5", {"enc": row}), target, strict=True)
    np.testing.assert_equal(target.get_weights(), source.get_weights())


def test_names_of_keras_2_that_do_not_tell_are_not_guessed(tmp_path):
    def model():
        made = [keras.Input((4,)), layers.Dense(4), layers.Dense(4)]
        return randomized(keras.Sequential([keras.Input((4,)), keras.Sequential(made, name="enc")]))

    target = model()
    names = ["dense_98/kernel:0", "dense_98/bias:0", "dense_97/kernel:0", "dense_97/bias:0"]
    weights = dict(zip(names, target.get_weights(), strict=True))
    with pytest.raises(ValueError, match=r"Nothing could be copied(?s:.*)unused +4 "):
        transfer_weights(keras_2_file(tmp_path / "old.h5", {"enc": weights}), target)


def test_another_class_inside_a_wrapper_of_keras_2_is_no_match(tmp_path):
    source, target = (
        one_layer(layers.TimeDistributed(cls(4, 3, name="x"), name="td"), (2, 5, 4))
        for cls in (layers.Conv1D, layers.Conv1DTranspose)
    )
    source.save(tmp_path / "old.h5")
    with pytest.raises(ValueError, match=r"Nothing could be copied(?s:.*)missing +2 "):
        transfer_weights(tmp_path / "old.h5", target)
