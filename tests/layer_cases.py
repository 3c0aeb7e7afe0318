"""A small network around every layer class of `keras.layers`, for what must work with each.

A layer without weights stands behind a `Dense`, so that derivatives flow through it, and before
another, so that the network has few outputs.
"""

import keras
from keras import ops

layers = keras.layers
EXAMPLES = 4

VECTOR, SEQUENCE, IMAGE, VOLUME = (4,), (5, 2), (5, 5, 2), (4, 4, 4, 2)
COLOURED = (6, 6, 3)


def behind_a_dense(layer, shape, activation="tanh"):
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Dense(shape[-1], activation, bias_initializer="random_normal"),
            layer,
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def before_a_dense(layer):
    """For layers of images through which no derivative passes."""
    return keras.Sequential(
        [
            keras.Input(COLOURED),
            layers.Rescaling(0.1, 0.5),
            layer,
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def of_colours(layer):
    """For layers of images, whose values are from 0 to 1."""
    return behind_a_dense(layer, COLOURED, "sigmoid")


def of_branches(layer, shape=(3,), branches=2):
    x = keras.Input(shape)
    joined = layer([layers.Dense(3, "tanh")(x) for _ in range(branches)])
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(joined)))


def of_codes(layer, dtype="int32", shape=(3,)):
    """For layers whose inputs are numbers of categories, words and the like."""
    x = keras.Input(shape, dtype=dtype)
    h = ops.cast(layers.Flatten()(layer(x)), keras.config.floatx())
    return keras.Model(x, layers.Dense(2)(h))


def crossing():
    a, b = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    crossed = layers.HashedCrossing(5, output_mode="one_hot")((a, b))
    return keras.Model([a, b], layers.Dense(2)(crossed))


def reversible():
    embedding = layers.ReversibleEmbedding(6, 3)
    codes = keras.Input((3,), dtype="int32")
    h = layers.Dense(3, "tanh")(embedding(codes))
    return keras.Model(codes, layers.Dense(1)(layers.Flatten()(embedding(h, reverse=True))))


def self_attention(layer):
    x = keras.Input((4, 3))
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(layer(x, x))))


def queries(layer):
    x = keras.Input((4, 3))
    h = [layers.Dense(3)(x) for _ in range(3)]
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(layer(h))))


def masked():
    return keras.Sequential(
        [keras.Input((4, 2)), layers.Masking(), layers.LSTM(2), layers.Dense(1)]
    )


def of_signal(layer):
    return keras.Sequential(
        [
            keras.Input((16, 1)),
            layers.Dense(1),
            layers.Flatten(),
            layer,
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def recurrent(cell):
    return keras.Sequential([keras.Input((4, 3)), layers.RNN(cell), layers.Dense(1)])


def sequence(layer):
    return behind_a_dense(layer, SEQUENCE)


def image(layer):
    return behind_a_dense(layer, IMAGE)


def volume(layer):
    return behind_a_dense(layer, VOLUME)


def vector(layer):
    return behind_a_dense(layer, VECTOR)


def pooling(kind, *arguments):
    by_rank = {1: sequence, 2: image, 3: volume}
    return {
        f"{kind}{rank}D": lambda rank=rank, around=around: around(
            getattr(layers, f"{kind}{rank}D")(*arguments)
        )
        for rank, around in by_rank.items()
    }


def vocabulary(kind, words, dtype, **arguments):
    return of_codes(kind(vocabulary=words, output_mode="one_hot", **arguments), dtype)


CASES = {
    # Dense
    "Dense": lambda: vector(layers.Dense(3, "tanh")),
    "EinsumDense": lambda: sequence(layers.EinsumDense("abc,cd->abd", (5, 3), bias_axes="d")),
    "Embedding": lambda: of_codes(layers.Embedding(6, 2)),
    "ReversibleEmbedding": reversible,
    # Convolutions
    "Conv1D": lambda: sequence(layers.Conv1D(2, 2)),
    "Conv2D": lambda: image(layers.Conv2D(2, 2)),
    "Conv3D": lambda: volume(layers.Conv3D(2, (2, 3, 1), (1, 1, 2), "same")),
    "Conv1DTranspose": lambda: sequence(layers.Conv1DTranspose(2, 2)),
    "Conv2DTranspose": lambda: image(layers.Conv2DTranspose(2, 2)),
    "Conv3DTranspose": lambda: volume(layers.Conv3DTranspose(2, 2)),
    "DepthwiseConv1D": lambda: sequence(layers.DepthwiseConv1D(2)),
    "DepthwiseConv2D": lambda: image(layers.DepthwiseConv2D(2)),
    "SeparableConv1D": lambda: sequence(layers.SeparableConv1D(2, 2)),
    "SeparableConv2D": lambda: image(layers.SeparableConv2D(2, 2)),
    # Recurrent
    "SimpleRNN": lambda: sequence(layers.SimpleRNN(2)),
    "LSTM": lambda: sequence(layers.LSTM(2, return_sequences=True)),
    "GRU": lambda: sequence(layers.GRU(2)),
    "SimpleRNNCell": lambda: recurrent(layers.SimpleRNNCell(2)),
    "LSTMCell": lambda: recurrent(layers.LSTMCell(2)),
    "GRUCell": lambda: recurrent(layers.GRUCell(2)),
    "RNN": lambda: recurrent(layers.SimpleRNNCell(2)),
    "StackedRNNCells": lambda: recurrent(
        layers.StackedRNNCells([layers.GRUCell(2), layers.LSTMCell(2)])
    ),
    "Bidirectional": lambda: sequence(layers.Bidirectional(layers.GRU(2))),
    "TimeDistributed": lambda: sequence(layers.TimeDistributed(layers.Dense(2, "tanh"))),
    "ConvLSTM1D": lambda: behind_a_dense(layers.ConvLSTM1D(2, 2), (3, 4, 1)),
    "ConvLSTM2D": lambda: behind_a_dense(layers.ConvLSTM2D(1, 2), (3, 3, 3, 1)),
    "ConvLSTM3D": lambda: behind_a_dense(layers.ConvLSTM3D(1, 2), (2, 3, 3, 3, 1)),
    # Attention
    "Attention": lambda: queries(layers.Attention(use_scale=True, score_mode="concat")),
    "AdditiveAttention": lambda: queries(layers.AdditiveAttention()),
    "MultiHeadAttention": lambda: self_attention(layers.MultiHeadAttention(2, 2)),
    "GroupedQueryAttention": lambda: self_attention(layers.GroupQueryAttention(2, 4, 2)),
    # Normalization
    "BatchNormalization": lambda: vector(layers.BatchNormalization()),
    "GroupNormalization": lambda: vector(layers.GroupNormalization(2)),
    "LayerNormalization": lambda: sequence(layers.LayerNormalization()),
    "RMSNormalization": lambda: vector(layers.RMSNormalization()),
    "SpectralNormalization": lambda: vector(layers.SpectralNormalization(layers.Dense(3))),
    "UnitNormalization": lambda: vector(layers.UnitNormalization()),
    "Normalization": lambda: vector(layers.Normalization(mean=0.5, variance=2.0)),
    # Activations
    "Activation": lambda: vector(layers.Activation("silu")),
    "ELU": lambda: vector(layers.ELU()),
    "LeakyReLU": lambda: vector(layers.LeakyReLU()),
    "PReLU": lambda: vector(layers.PReLU("random_normal")),
    "ReLU": lambda: vector(layers.ReLU()),
    "Softmax": lambda: vector(layers.Softmax()),
    # Pooling
    **pooling("AveragePooling", 2),
    **pooling("MaxPooling"),
    **pooling("GlobalAveragePooling"),
    **pooling("GlobalMaxPooling"),
    **pooling("AdaptiveAveragePooling", 2),
    **pooling("AdaptiveMaxPooling", 2),
    # Shapes
    **pooling("Cropping", 1),
    **pooling("UpSampling", 2),
    **pooling("ZeroPadding", 1),
    "Flatten": lambda: sequence(layers.Flatten()),
    "Identity": lambda: vector(layers.Identity()),
    "InputLayer": lambda: keras.Sequential([layers.InputLayer((4,)), layers.Dense(2)]),
    "Permute": lambda: sequence(layers.Permute((2, 1))),
    "RepeatVector": lambda: vector(layers.RepeatVector(2)),
    "Reshape": lambda: vector(layers.Reshape((2, 2))),
    # Two branches
    "Add": lambda: of_branches(layers.Add()),
    "Average": lambda: of_branches(layers.Average()),
    "Concatenate": lambda: of_branches(layers.Concatenate()),
    "Dot": lambda: of_branches(layers.Dot(1)),
    "Maximum": lambda: of_branches(layers.Maximum()),
    "Minimum": lambda: of_branches(layers.Minimum()),
    "Multiply": lambda: of_branches(layers.Multiply()),
    "Subtract": lambda: of_branches(layers.Subtract()),
    # What does something in training only
    "AlphaDropout": lambda: vector(layers.AlphaDropout(0.3)),
    "Dropout": lambda: vector(layers.Dropout(0.3)),
    "GaussianDropout": lambda: vector(layers.GaussianDropout(0.3)),
    "GaussianNoise": lambda: vector(layers.GaussianNoise(0.3)),
    **pooling("SpatialDropout", 0.3),
    "AugMix": lambda: of_colours(layers.AugMix(value_range=(0, 1))),
    "CutMix": lambda: of_colours(layers.CutMix()),
    "MixUp": lambda: of_colours(layers.MixUp()),
    "RandAugment": lambda: of_colours(layers.RandAugment(value_range=(0, 1))),
    "RandomBrightness": lambda: of_colours(layers.RandomBrightness(0.2)),
    "RandomColorDegeneration": lambda: of_colours(layers.RandomColorDegeneration(0.5)),
    "RandomColorJitter": lambda: of_colours(layers.RandomColorJitter((0, 1), 0.1)),
    "RandomContrast": lambda: of_colours(layers.RandomContrast(0.2)),
    "RandomCrop": lambda: of_colours(layers.RandomCrop(6, 6)),
    "RandomElasticTransform": lambda: of_colours(layers.RandomElasticTransform()),
    "RandomErasing": lambda: of_colours(layers.RandomErasing()),
    "RandomFlip": lambda: of_colours(layers.RandomFlip()),
    "RandomGaussianBlur": lambda: of_colours(layers.RandomGaussianBlur()),
    "RandomGrayscale": lambda: of_colours(layers.RandomGrayscale()),
    "RandomHue": lambda: of_colours(layers.RandomHue(0.2, (0, 1))),
    "RandomInvert": lambda: of_colours(layers.RandomInvert(value_range=(0, 1))),
    "RandomPerspective": lambda: of_colours(layers.RandomPerspective()),
    "RandomPosterization": lambda: of_colours(layers.RandomPosterization(4, (0, 1))),
    "RandomRotation": lambda: of_colours(layers.RandomRotation(0.1)),
    "RandomSaturation": lambda: of_colours(layers.RandomSaturation(0.2)),
    "RandomSharpness": lambda: of_colours(layers.RandomSharpness(0.2, (0, 1))),
    "RandomShear": lambda: of_colours(layers.RandomShear(0.1)),
    "RandomTranslation": lambda: of_colours(layers.RandomTranslation(0.1, 0.1)),
    "RandomZoom": lambda: of_colours(layers.RandomZoom(0.1)),
    # Images and signals
    "AutoContrast": lambda: of_colours(layers.AutoContrast(value_range=(0, 1))),
    "CenterCrop": lambda: of_colours(layers.CenterCrop(4, 4)),
    "ContrastLimitedAdaptiveHistogramEqualization": lambda: before_a_dense(
        layers.ContrastLimitedAdaptiveHistogramEqualization(value_range=(0, 1))
    ),
    "Pipeline": lambda: of_colours(layers.Pipeline([layers.Rescaling(2), layers.CenterCrop(4, 4)])),
    "Rescaling": lambda: of_colours(layers.Rescaling(2, 1)),
    "Resizing": lambda: of_colours(layers.Resizing(4, 5)),
    "Solarization": lambda: of_colours(layers.Solarization(0, 0.5, value_range=(0, 1))),
    "MelSpectrogram": lambda: of_signal(
        layers.MelSpectrogram(8, 4, 8, sampling_rate=16, num_mel_bins=3, min_freq=1)
    ),
    "STFTSpectrogram": lambda: keras.Sequential(
        [
            keras.Input((16, 1)),
            layers.Dense(1),
            layers.STFTSpectrogram("log", 8, 4, 8),
            layers.Flatten(),
            layers.Dense(1),
        ]
    ),
    # Categories and words
    "CategoryEncoding": lambda: of_codes(layers.CategoryEncoding(6, "multi_hot")),
    "Discretization": lambda: of_codes(
        layers.Discretization([-0.5, 0.5], output_mode="one_hot"), "float64"
    ),
    "HashedCrossing": crossing,
    "Hashing": lambda: of_codes(layers.Hashing(5, output_mode="multi_hot")),
    "IntegerLookup": lambda: vocabulary(layers.IntegerLookup, [1, 2, 4], "int64"),
    "StringLookup": lambda: vocabulary(layers.StringLookup, ["a", "b"], "string"),
    "TextVectorization": lambda: of_codes(
        layers.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot"),
        "string",
        (1,),
    ),
    # Others
    "ActivityRegularization": lambda: vector(layers.ActivityRegularization(0.0)),
    "Lambda": lambda: vector(layers.Lambda(lambda x: x**2)),
    "Masking": masked,
}


# TensorFlow computes these in float32, whatever it is given.
IN_FLOAT32 = (
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling3D",
    "AveragePooling3D",
    "MaxPooling3D",
    "MelSpectrogram",
    "Resizing",
)
NO_CASE = {
    "Equalization": "returns its own input while a network is built, which Keras calls a cycle",
    "FlaxLayer": "needs JAX",
    "JaxLayer": "needs JAX",
    "Layer": "has no `call` of its own",
    "MaxNumBoundingBoxes": "turns boxes, which no loss sees, into boxes",
    "TFSMLayer": "holds a SavedModel, without weights to train",
    "TorchModuleWrapper": "needs PyTorch",
    "Wrapper": "has no `call` of its own",
}


def public_layers():
    """The names of the layer classes of `keras.layers`."""
    public = [getattr(layers, name) for name in dir(layers)]
    return {
        kind.__name__
        for kind in public
        if isinstance(kind, type) and issubclass(kind, layers.Layer)
    }


def examples(network, rng):
    """Random inputs that the network takes."""

    def of(spec):
        shape = (EXAMPLES, *spec.shape[1:])
        if spec.dtype == "string":
            return rng.choice(["a", "b a", "c b b", ""], shape)
        if spec.dtype.startswith("int"):
            return rng.integers(0, 6, shape).astype(spec.dtype)
        return rng.normal(size=shape).astype(spec.dtype)

    x = [of(spec) for spec in network.inputs]
    return x if len(x) > 1 else x[0]
