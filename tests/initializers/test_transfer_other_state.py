"""`transfer_weights`: what is no weight, what is computed from weights, and what fails half way."""

import backends
import keras
import numpy as np
import pytest
from keras import layers

from kerazoo.initializers import TransferReport, transfer_weights

KINDS = ["model", ".keras", ".weights.h5"]
needs_tensorflow = backends.needs_tensorflow("Keras's vocabularies are tables of TensorFlow")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def as_source(model, kind, folder):
    if kind == "model":
        return model
    path = folder / f"source{kind}"
    model.save(path) if kind == ".keras" else model.save_weights(path)
    return path


def dense(name="dense", **kwargs):
    made = [keras.Input((4,)), layers.Dense(3, name=name, bias_initializer="ones", **kwargs)]
    return keras.Sequential(made)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_normalization_computes_with_what_arrived(kind, nested, tmp_path):
    """Its constants are no variables, and a compiled `predict` holds those of before."""

    def model():
        inside = [keras.Input((4,)), layers.Normalization(name="norm")]
        if nested:
            inside = [keras.Input((4,)), keras.Sequential(inside, name="inside")]
        return keras.Sequential([*inside, layers.Dense(2, name="head")])

    source, target = model(), model()
    rng = np.random.default_rng(0)
    norm = source.layers[0].get_layer("norm") if nested else source.get_layer("norm")
    norm.adapt(rng.normal(5, 2, (50, 4)).astype("float32"))
    x = rng.normal(5, 2, (3, 4)).astype("float32")
    before = target.predict(x, verbose=0)
    assert np.abs(before - numpy(source(x))).max() > 0.1
    transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    np.testing.assert_allclose(numpy(target(x)), numpy(source(x)), rtol=1e-6)
    np.testing.assert_allclose(target.predict(x, verbose=0), numpy(source(x)), rtol=1e-5)


TEXTS = ["one two three three", "three one four"]
LOOKUPS = {
    "text": (lambda: layers.TextVectorization(name="learned"), TEXTS),
    "tf_idf": (lambda: layers.TextVectorization(output_mode="tf_idf", name="learned"), TEXTS),
    "string": (lambda: layers.StringLookup(name="learned"), [*"abac"]),
    "integer": (lambda: layers.IntegerLookup(name="learned"), [3, 5, 5, 9]),
}


def lookup_model(kind, data=None):
    layer = LOOKUPS[kind][0]()
    if data is not None:
        layer.adapt(np.array(data))
    dtype = "int64" if kind == "integer" else "string"
    inputs = keras.Input((1,), dtype=dtype)
    return keras.Model(inputs, layer(inputs)), layer


@needs_tensorflow
@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("kind", ["model", ".keras"])
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_vocabularies_go_along(lookup, kind, adapted, tmp_path):
    data = LOOKUPS[lookup][1]
    other = [7] if lookup == "integer" else ["six seven eight nine"]
    source, learned = lookup_model(lookup, data)
    target, layer = lookup_model(lookup, other if adapted else None)
    report = transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    assert report.other_state["learned/vocabulary.txt"] == "copied"
    assert layer.get_vocabulary() == learned.get_vocabulary()
    words = np.array(data)[:, None]
    np.testing.assert_array_equal(target(words), source(words))
    assert "other state     " in report.table()


@needs_tensorflow
def test_a_vocabulary_that_keras_refuses_changes_nothing():
    """Of another size, for a layer whose outputs have the vocabulary's size."""
    source, _ = lookup_model("tf_idf", TEXTS)
    target, layer = lookup_model("tf_idf", ["seven"])
    with pytest.raises(RuntimeError, match="vocabulary size cannot be changed"):
        transfer_weights(source, target)
    assert layer.get_vocabulary() == ["[UNK]", "seven"]
    assert np.all(numpy(target(np.array([["seven"]])))[0, 1] > 0)


@needs_tensorflow
def test_a_vocabulary_that_does_not_come_is_named(tmp_path):
    def model(texts):
        text = layers.TextVectorization(output_sequence_length=3, name="text")
        text.adapt(texts)
        embedding = layers.Embedding(7, 2, name="words")
        return keras.Sequential([keras.Input((), dtype="string"), text, embedding])

    source, target = model(TEXTS), model(["seven"])
    path = as_source(source, ".weights.h5", tmp_path)
    before = numpy(target.get_layer("words").embeddings)
    with pytest.raises(ValueError, match=r"strict=True.*(?s:.*)text/vocabulary.txt missing"):
        transfer_weights(path, target, strict=True)
    np.testing.assert_array_equal(numpy(target.get_layer("words").embeddings), before)
    report = transfer_weights(path, target)
    assert report.copied == ["words/embeddings"]
    assert report.other_state["text/vocabulary.txt"] == "missing"
    assert not report.is_complete()


@needs_tensorflow
def test_a_vocabulary_given_as_an_argument_is_fixed():
    def model(words):
        made = layers.StringLookup(vocabulary=words, name="text")
        embedding = layers.Embedding(7, 2, name="words")
        return keras.Sequential([keras.Input((1,), dtype="string"), made, embedding])

    report = transfer_weights(model(["a", "b"]), model(["b", "a"]))
    assert report.other_state == {"text/vocabulary.txt": "differs"}
    with pytest.raises(ValueError, match=r"text/vocabulary\.txt differs"):
        transfer_weights(model(["a", "b"]), model(["b", "a"]), strict=True)
    transfer_weights(model(["a", "b"]), model(["a", "b"]), strict=True)


def bins_model(data=None, **kwargs):
    learned = layers.Discretization(name="bins", **(kwargs or {"num_bins": 4}))
    if data is not None:
        learned.update_state(data)  # as `adapt` does, which needs TensorFlow
        learned.finalize_state()
    inputs = keras.Input((3,))
    scores = layers.Dense(2, name="head")(inputs)
    return keras.Model(inputs, [learned(inputs), scores])


@pytest.mark.parametrize("kind", KINDS)
def test_bin_boundaries_go_along(kind, tmp_path):
    rng = np.random.default_rng(0)
    source = bins_model(rng.normal(size=100).astype("float32"))
    target = bins_model(10 + rng.normal(size=100).astype("float32"))
    x = rng.normal(size=(5, 3)).astype("float32")
    chosen = as_source(source, kind, tmp_path)
    if kind == ".weights.h5":
        with pytest.raises(ValueError, match="bins/bin_boundaries missing"):
            transfer_weights(chosen, target, strict=True)
    else:
        report = transfer_weights(chosen, target, strict=True)
        assert report.other_state == {"bins/bin_boundaries": "copied"}
        np.testing.assert_array_equal(numpy(target(x)[0]), numpy(source(x)[0]))
    fixed = bins_model(bin_boundaries=[1.0, 2.0])
    assert transfer_weights(source, fixed).other_state == {"bins/bin_boundaries": "differs"}


def test_seeds_and_the_states_of_stateful_layers_are_kept_and_named():
    def model():
        made = [layers.LSTM(2, stateful=True, name="lstm"), layers.Dropout(0.5, name="drop")]
        return keras.Sequential([keras.Input(batch_shape=(2, 3, 4)), *made])

    source, target = model(), model()
    source(np.ones((2, 3, 4), "float32"))
    weights = {id(weight) for weight in target.weights}
    others = [v for v in target.variables if id(v) not in weights]
    before = [numpy(variable) for variable in others]
    report = transfer_weights(source, target, strict=True)
    kept = {path for path, what in report.other_state.items() if what == "kept"}
    assert {"lstm/states", "drop/seed_generator"} <= kept
    assert len(kept) == len(report.other_state)
    assert before
    for value, variable in zip(before, others, strict=True):
        np.testing.assert_array_equal(value, numpy(variable))


@pytest.mark.parametrize("kind", KINDS)
def test_lora_arrives_merged(kind, tmp_path):
    source, target = dense(), dense()
    source.layers[0].enable_lora(2)
    for i, weight in enumerate(source.weights):
        weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    x = np.random.default_rng(5).normal(size=(2, 4)).astype("float32")
    np.testing.assert_allclose(numpy(target(x)), numpy(source(x)), rtol=1e-5, atol=1e-6)
    target.layers[0].enable_lora(2)
    transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    np.testing.assert_allclose(numpy(target(x)), numpy(source(x)), rtol=1e-5, atol=1e-6)


def test_a_quantized_layer_takes_a_quantized_one_only():
    source, other = dense(), dense()
    quantized = [dense(), dense(use_bias=False)]
    for model in (*quantized, other):
        model.layers[0].quantize("int8")
    for target in quantized:  # without a bias its two arrays have the shapes of kernel and bias
        before = [numpy(weight) for weight in target.weights]
        with pytest.raises(ValueError, match="Nothing could be copied"):
            transfer_weights(source, target)
        for weight, value in zip(target.weights, before, strict=True):
            np.testing.assert_array_equal(numpy(weight), value)
    transfer_weights(other, quantized[0], strict=True)
    x = np.random.default_rng(5).normal(size=(2, 4)).astype("float32")
    np.testing.assert_array_equal(numpy(quantized[0](x)), numpy(other(x)))


class Threshold(layers.Layer):
    """Saves a number of its own, as any layer may."""

    def __init__(self, value=0.0, broken=False, **kwargs):
        super().__init__(**kwargs)
        self.value, self.broken = value, broken

    def save_own_variables(self, store):
        store["value"] = np.array(self.value)

    def load_own_variables(self, store):
        if self.broken and float(store["value"]) != self.value:
            raise RuntimeError("broken")
        self.value = float(store["value"])

    def call(self, x):
        return keras.ops.where(x > self.value, x, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_saves_something_of_its_own(kind, tmp_path):
    def model(value):
        made = [layers.Dense(3, name="dense"), Threshold(value, name="threshold")]
        return keras.Sequential([keras.Input((4,)), *made])

    source, target = model(2.0), model(1.0)
    report = transfer_weights(as_source(source, kind, tmp_path), target, strict=True)
    assert target.layers[-1].value == 2.0
    assert "threshold/value" in report.copied


def test_a_failure_half_way_is_undone():
    def model(value, broken):
        made = [layers.Normalization(name="norm"), layers.Dense(3, name="dense")]
        made.append(Threshold(value, broken, name="threshold"))
        return keras.Sequential([keras.Input((4,)), *made])

    source, target = model(2.0, False), model(1.0, True)
    source.layers[0].adapt(np.random.default_rng(0).normal(5, 2, (50, 4)).astype("float32"))
    x = np.random.default_rng(5).normal(size=(2, 4)).astype("float32")
    before = numpy(target(x))
    with pytest.raises(RuntimeError, match="broken"):
        transfer_weights(source, target)
    np.testing.assert_array_equal(numpy(target(x)), before)


def test_the_report_of_old_has_four_parts():
    report = TransferReport(["a"], [], [], [])
    assert report.is_complete()
    assert report.other_state is None
    assert "other state" not in report.table()
