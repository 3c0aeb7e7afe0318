"""`transfer_weights` by the outputs: every weighted layer of `keras.layers`, and layers of ours."""

import keras
import numpy as np
import pytest
from keras import layers

from kerazoo.initializers import transfer_weights

# The layers that have weights: how to make one, and the shapes of its inputs.
VECTOR, SERIES, IMAGE, VOLUME = (4,), (5, 4), (5, 5, 4), (4, 4, 4, 2)
WEIGHTED = {
    "AdditiveAttention": (lambda **k: layers.AdditiveAttention(**k), (SERIES, SERIES)),
    "Attention": (lambda **k: layers.Attention(use_scale=True, **k), (SERIES, SERIES)),
    "BatchNormalization": (layers.BatchNormalization, (VECTOR,)),
    "Bidirectional": (lambda **k: layers.Bidirectional(layers.LSTM(2), **k), (SERIES,)),
    "Conv1D": (lambda **k: layers.Conv1D(2, 2, **k), (SERIES,)),
    "Conv1DTranspose": (lambda **k: layers.Conv1DTranspose(2, 2, **k), (SERIES,)),
    "Conv2D": (lambda **k: layers.Conv2D(2, 2, **k), (IMAGE,)),
    "Conv2DTranspose": (lambda **k: layers.Conv2DTranspose(2, 2, **k), (IMAGE,)),
    "Conv3D": (lambda **k: layers.Conv3D(2, 2, **k), (VOLUME,)),
    "Conv3DTranspose": (lambda **k: layers.Conv3DTranspose(2, 2, **k), (VOLUME,)),
    "ConvLSTM1D": (lambda **k: layers.ConvLSTM1D(2, 2, **k), (IMAGE,)),
    "ConvLSTM2D": (lambda **k: layers.ConvLSTM2D(2, 2, **k), (VOLUME,)),
    "ConvLSTM3D": (lambda **k: layers.ConvLSTM3D(2, 2, **k), ((2, 3, 3, 3, 2),)),
    "Dense": (lambda **k: layers.Dense(3, **k), (VECTOR,)),
    "DepthwiseConv1D": (lambda **k: layers.DepthwiseConv1D(2, **k), (SERIES,)),
    "DepthwiseConv2D": (lambda **k: layers.DepthwiseConv2D(2, **k), (IMAGE,)),
    "EinsumDense": (lambda **k: layers.EinsumDense("bx,xy->by", 3, bias_axes="y", **k), (VECTOR,)),
    "Embedding": (lambda **k: layers.Embedding(3, 2, **k), (VECTOR,)),
    "GRU": (lambda **k: layers.GRU(2, **k), (SERIES,)),
    "GRUCell": (lambda **k: layers.RNN(layers.GRUCell(2), **k), (SERIES,)),
    "GroupNormalization": (lambda **k: layers.GroupNormalization(2, **k), (VECTOR,)),
    "GroupQueryAttention": (lambda **k: layers.GroupQueryAttention(4, 2, 1, **k), (SERIES,) * 2),
    "LSTM": (lambda **k: layers.LSTM(2, **k), (SERIES,)),
    "LSTMCell": (lambda **k: layers.RNN(layers.LSTMCell(2), **k), (SERIES,)),
    "LayerNormalization": (layers.LayerNormalization, (VECTOR,)),
    "MultiHeadAttention": (lambda **k: layers.MultiHeadAttention(2, 2, **k), (SERIES,) * 2),
    "Normalization": (layers.Normalization, (VECTOR,)),
    "PReLU": (layers.PReLU, (VECTOR,)),
    "Pipeline": (lambda **k: layers.Pipeline([layers.Dense(3)], **k), (VECTOR,)),
    "RMSNormalization": (lambda **k: layers.RMSNormalization(**k), (VECTOR,)),
    "RNN": (lambda **k: layers.RNN(layers.GRUCell(3), **k), (SERIES,)),
    "ReversibleEmbedding": (lambda **k: layers.ReversibleEmbedding(3, 2, **k), (VECTOR,)),
    "STFTSpectrogram": (
        lambda **k: layers.STFTSpectrogram(frame_length=4, frame_step=2, fft_length=4, **k),
        ((16, 1),),
    ),
    "SeparableConv1D": (lambda **k: layers.SeparableConv1D(2, 2, **k), (SERIES,)),
    "SeparableConv2D": (lambda **k: layers.SeparableConv2D(2, 2, **k), (IMAGE,)),
    "SimpleRNN": (lambda **k: layers.SimpleRNN(2, **k), (SERIES,)),
    "SimpleRNNCell": (lambda **k: layers.RNN(layers.SimpleRNNCell(2), **k), (SERIES,)),
    "SpectralNormalization": (
        lambda **k: layers.SpectralNormalization(layers.Dense(3), **k),
        (VECTOR,),
    ),
    "StackedRNNCells": (
        lambda **k: layers.RNN(
            layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(2)]), **k
        ),
        (SERIES,),
    ),
    "TimeDistributed": (lambda **k: layers.TimeDistributed(layers.Dense(3), **k), (SERIES,)),
}
# The ones without weights that cannot be made without arguments, by the arguments.
WITHOUT_WEIGHTS = {
    "Activation": ("relu",),
    **{f"Adaptive{kind}Pooling{n}D": (2,) for kind in ("Average", "Max") for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": (2,) for n in (1, 2, 3)},
    "AlphaDropout": (0.1,),
    "CategoryEncoding": (3,),
    "CenterCrop": (2, 2),
    "Discretization": (None, 3),
    "Dot": (1,),
    "Dropout": (0.1,),
    "GaussianDropout": (0.1,),
    "GaussianNoise": (0.1,),
    "HashedCrossing": (3,),
    "Hashing": (3,),
    "InputLayer": ((4,),),
    "Lambda": (abs,),
    "MaxNumBoundingBoxes": (3,),
    "Permute": ((2, 1),),
    "RandomBrightness": (0.1,),
    "RandomColorDegeneration": (0.1,),
    "RandomContrast": (0.1,),
    "RandomCrop": (2, 2),
    "RandomHue": (0.1,),
    "RandomPosterization": (3,),
    "RandomRotation": (0.1,),
    "RandomSaturation": (0.1,),
    "RandomSharpness": (0.1,),
    "RandomShear": (0.1,),
    "RandomTranslation": (0.1, 0.1),
    "RandomZoom": (0.1,),
    "RepeatVector": (2,),
    "Rescaling": (2,),
    "Reshape": ((-1,),),
    "Resizing": (2, 2),
    "SpatialDropout1D": (0.1,),
    "SpatialDropout2D": (0.1,),
    "SpatialDropout3D": (0.1,),
}
ELSEWHERE = {
    "Layer": "the base class",
    "Wrapper": "computes nothing by itself",
    "FlaxLayer": "runs code of another library, which is no part of the test environment",
    "JaxLayer": "runs functions of JAX, whose parameters are a tree of its own",
    "TFSMLayer": "a SavedModel, which cannot be saved in a .keras file",
    "TorchModuleWrapper": "a module of PyTorch, tested below",
    "IntegerLookup": "a vocabulary and no weights, tested in test_transfer_weights.py",
    "StringLookup": "a vocabulary and no weights, tested in test_transfer_weights.py",
    "TextVectorization": "a vocabulary and no weights, tested in test_transfer_weights.py",
}
KINDS = ["model", ".keras", ".weights.h5"]


def layer_classes():
    """One name of each class: `Convolution1D` is `Conv1D` again, `AvgPool1D` another name."""
    found = {}
    for name in dir(layers):
        value = getattr(layers, name)
        if isinstance(value, type) and issubclass(value, layers.Layer):
            found[value] = name if value not in found or name == value.__name__ else found[value]
    return {name: cls for cls, name in found.items()}


def _weightless(name, cls):
    """Whether a class in no table can be made and built, and has no weights."""
    layer = cls(*WITHOUT_WEIGHTS.get(name, ()))
    for shape in ((2, 8, 8, 3), (2, 8, 3), (2, 8), [(2, 8), (2, 8)], (2, 4, 4, 4, 3)):
        try:
            layer.build(shape)
        except Exception:
            continue
        return not layer.variables or not layer.weights
    return False


def test_every_layer_class_of_keras_has_its_place():
    """A class that a newer Keras has needs a line in one of the tables."""
    for name, cls in layer_classes().items():
        if name in ELSEWHERE or name in WEIGHTED:
            continue
        try:
            is_weightless = _weightless(name, cls)
        except ImportError:  # needs TensorFlow, and is built where that is
            continue
        except TypeError:
            is_weightless = False
        assert is_weightless, (
            f"keras.layers.{name} is in no table of this test: put it in WEIGHTED if it has "
            "weights, in WITHOUT_WEIGHTS with its arguments if not"
        )


def _random(shape, seed=0, whole=False):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, shape) if whole else rng.normal(size=shape).astype("float32")


def _randomize(model):
    for i, weight in enumerate(model.weights):
        rng = np.random.default_rng(i)
        # Positive, for variances, and not all of one size.
        weight.assign(
            (rng.uniform(0.5, 1.5, weight.shape) * rng.choice([1, 2])).astype(weight.dtype)
        )
    for layer in model.layers:
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()
    return model


def _every_weighted_layer():
    """One model with all of them side by side, and its inputs."""
    known = [name for name in WEIGHTED if name in layer_classes()]
    inputs, outputs, data = [], [], []
    for name in known:
        make, shapes = WEIGHTED[name]
        whole = "Embedding" in name
        inputs.append([keras.Input(shape, dtype="int32" if whole else None) for shape in shapes])
        data += [_random((2, *shape), whole=whole) for shape in shapes]
        takes_a_list = name in ("Attention", "AdditiveAttention")
        layer = make(name=name)
        outputs.append(layer(inputs[-1]) if takes_a_list else layer(*inputs[-1]))
        assert layer.weights, name
    return keras.Model([i for row in inputs for i in row], outputs), data, known


@pytest.fixture(scope="module")
def every_layer(tmp_path_factory):
    source, data, names = _every_weighted_layer()
    _randomize(source)
    folder = tmp_path_factory.mktemp("every_layer")
    source.save(folder / "source.keras")
    source.save_weights(folder / "source.weights.h5")
    expected = [keras.ops.convert_to_numpy(y) for y in source(data)]
    target, _, _ = _every_weighted_layer()
    return source, folder, target, data, names, expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_of_every_weighted_layer(kind, every_layer):
    source, folder, target, data, names, expected = every_layer
    for weight in target.weights:
        weight.assign(np.zeros(weight.shape))
    chosen = source if kind == "model" else folder / f"source{kind}"
    report = transfer_weights(chosen, target, strict=True)
    assert len(report.copied) >= len(target.weights)
    for name, found, right in zip(names, target(data), expected, strict=True):
        assert np.abs(right).max() > 1e-3, name
        found = keras.ops.convert_to_numpy(found)
        np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6, err_msg=name)


class Private(layers.Layer):
    """Attributes that come before and after TensorFlow's own, `_self_...`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._up, self._down = layers.Dense(4), layers.Dense(4)
        self._tail = [layers.Dense(4), layers.LayerNormalization()]

    def call(self, x):
        return self._tail[1](self._tail[0](self._up(self._down(x))))


class Own(layers.Layer):
    """Layers in Keras's own list only, which no file holds."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._layers = [layers.Dense(4), layers.Dense(4)]

    def call(self, x):
        return self._layers[1](self._layers[0](x))


class InDict(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = {"b": layers.Dense(4), "a": layers.Dense(4)}
        self.pair = (layers.Dense(4), layers.Dense(4))

    def call(self, x):
        return self.pair[1](self.pair[0](self.parts["a"](self.parts["b"](x))))


class Properties(layers.Layer):
    """One that must not be run, and one under which Keras saves what it returns."""

    runs = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._first, self.second = layers.Dense(4), layers.Dense(4)

    @property
    def broken(self):
        type(self).runs += 1
        raise RuntimeError("no property of the user's is run")

    @property
    def first(self):
        return self._first

    def call(self, x):
        return self.second(self._first(x))


class Shared(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.outer, self._again = Private(), None
        self._again = self.outer._up
        self.tied = [self._again, layers.Dense(4)]

    def call(self, x):
        return self.tied[1](self._again(self.outer(x)))


def _own_layers(classes, named):
    data = _random((2, 4))
    x = keras.Input((4,))
    made = [cls(name=cls.__name__) if named else cls() for cls in classes]
    return keras.Model(x, [layer(x) for layer in made]), data


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_of_nested_layers(kind, named, tmp_path):
    classes = [Private, InDict, Properties, Shared]
    (source, data), (target, _) = (_own_layers(classes, named) for _ in range(2))
    _randomize(source)
    expected = [keras.ops.convert_to_numpy(y) for y in source(data)]
    if kind != "model":
        path = tmp_path / f"source{kind}"
        source.save(path) if kind == ".keras" else source.save_weights(path)
        source = path
    Properties.runs = 0
    transfer_weights(source, target, strict=True)
    assert Properties.runs == 0
    for cls, found, right in zip(classes, target(data), expected, strict=True):
        found = keras.ops.convert_to_numpy(found)
        np.testing.assert_allclose(found, right, rtol=1e-6, err_msg=cls.__name__)


def test_layers_in_the_list_of_keras_itself(tmp_path):
    (source, data), (target, _) = (_own_layers([Private, Own], True) for _ in range(2))
    _randomize(source)
    before = [keras.ops.convert_to_numpy(w) for w in target.get_layer("Own").weights]
    source.save_weights(tmp_path / "source.weights.h5")
    report = transfer_weights(tmp_path / "source.weights.h5", target)
    assert {path.split("/")[0] for path in report.missing} == {"Own"}
    for weight, value in zip(target.get_layer("Own").weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)
    transfer_weights(source, target, strict=True)
    for found, right in zip(target(data), source(data), strict=True):
        found, right = (keras.ops.convert_to_numpy(y) for y in (found, right))
        np.testing.assert_allclose(found, right, rtol=1e-6)


def test_a_weight_that_no_layer_holds_is_an_error():
    class Hidden(keras.Model):
        """Lists the weights of a layer that only a closure knows."""

        def __init__(self):
            super().__init__()
            self.seen = layers.Dense(2)
            hidden = layers.Dense(2)
            hidden.build((None, 4))
            self.others = lambda: hidden.weights

        @property
        def weights(self):
            return [*super().weights, *self.others()]

        def call(self, x):
            return self.seen(x)

    source, target = Hidden(), Hidden()
    for model in (source, target):
        model(_random((2, 4)))
    with pytest.raises(ValueError, match=r"weights \[.*kernel.* of no layer"):
        transfer_weights(source, target)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the layer is PyTorch's")
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_pytorch(kind, tmp_path):
    import torch

    def model():
        parts = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        inputs = keras.Input((4,))
        module = layers.TorchModuleWrapper(parts, output_shape=(None, 3), name="module")
        return keras.Model(inputs, module(inputs))

    source, target, data = model(), model(), _random((5, 4))
    source(data, training=True)
    expected = source(data, training=False).detach().numpy()
    if kind != "model":
        path = tmp_path / f"source{kind}"
        source.save(path) if kind == ".keras" else source.save_weights(path)
        source = path
    transfer_weights(source, target, strict=True)
    found = target(data, training=False).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
