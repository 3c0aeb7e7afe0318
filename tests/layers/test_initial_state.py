import backends
import checks
import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.layers import InitialState, SkipInit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 2)).astype("float32")
RECURRENT = [(keras.layers.LSTM, 2), (keras.layers.GRU, 1), (keras.layers.SimpleRNN, 1)]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_lstm(x, h, c, kernel, recurrent_kernel, bias):
    for t in range(x.shape[1]):
        z = x[:, t] @ kernel + h @ recurrent_kernel + bias
        i, f, g, o = np.split(z, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def numpy(tensors):
    """Of a list of states or of one tensor."""
    if isinstance(tensors, list):
        return np.stack([backends.to_numpy(tensor) for tensor in tensors])
    return backends.to_numpy(tensors)


def recurrent_model(layer, states, sequence_shape=(None, 2)):
    inputs = keras.Input(sequence_shape)
    model = keras.Model(inputs, layer(inputs, initial_state=states(inputs)))
    checks.randomize(model)
    return model


@pytest.mark.parametrize("jit_compile", backends.JIT)
@pytest.mark.parametrize("mode", ["zeros", "learned", "noisy"])
def test_lstm_begins_where_it_says(mode, jit_compile):
    lstm, states = keras.layers.LSTM(5), InitialState(5, mode=mode)
    model = recurrent_model(lstm, states)
    start = states.get_weights()[0] if mode == "learned" else np.zeros((2, 5))
    h, c = np.broadcast_to(start[:, None], (2, 3, 5))
    model.compile(jit_compile=jit_compile)
    expected = numpy_lstm(X, h, c, *lstm.get_weights())
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layer", "num_states"), RECURRENT)
def test_any_recurrent_layer(layer, num_states):
    rnn, states = layer(5), InitialState(5, num_states, "learned")
    model = recurrent_model(rnn, states)
    assert [tuple(s.shape) for s in states(X)] == [(3, 5)] * num_states
    explicit = [ops.convert_to_tensor(np.tile(row, (3, 1))) for row in states.get_weights()[0]]
    expected = numpy(rnn(X, initial_state=explicit))
    np.testing.assert_allclose(numpy(model(X)), expected, rtol=1e-5)
    assert not np.allclose(numpy(model(X)), numpy(rnn(X)))


def test_bidirectional():
    rnn = keras.layers.Bidirectional(keras.layers.LSTM(5))
    states = InitialState(5, num_states=4, mode="learned")
    model = recurrent_model(rnn, states)
    explicit = [ops.convert_to_tensor(np.tile(row, (3, 1))) for row in states.get_weights()[0]]
    expected = numpy(rnn(X, initial_state=explicit))
    np.testing.assert_allclose(numpy(model(X)), expected, rtol=1e-5)


@pytest.mark.parametrize(("layer", "num_states"), RECURRENT)
@pytest.mark.parametrize("jit_compile", backends.JIT)
def test_training_moves_a_learned_state(layer, num_states, jit_compile):
    states = InitialState(5, num_states, "learned")
    model = recurrent_model(layer(5), states)
    states.set_weights([np.zeros((num_states, 5))])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    model.fit(X, np.ones((3, 5)), batch_size=2, verbose=0)  # batches of 2 and of 1
    assert (states.get_weights()[0] != 0).all()


def test_learned_state_finds_what_the_data_begin_with():
    """One step of a GRU that copies its state: only the state can carry the target."""
    states = InitialState(3, num_states=1, mode="learned")
    inputs = keras.Input((1, 1))
    gru = keras.layers.GRU(3, bias_initializer=keras.initializers.Constant(30.0))  # update gate 1
    gru.trainable = False
    model = keras.Model(inputs, gru(inputs, initial_state=states(inputs)))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    target = np.tile([[0.5, -2.0, 1.0]], (150 * 8, 1))
    model.fit(np.zeros((len(target), 1, 1)), target, batch_size=8, verbose=0)
    np.testing.assert_allclose(states.get_weights()[0], target[:1], atol=0.02)


@pytest.mark.parametrize("num_states", [1, 2])
def test_gradients(num_states):
    layer = InitialState(2, num_states, "learned", dtype="float64")
    checks.check_gradients(layer, RNG.normal(size=(3, 2)))


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 4, 2), (3, 4, 4, 2), (1, 2), (0, 4, 2)])
@pytest.mark.parametrize("mode", ["zeros", "learned", "noisy"])
def test_only_the_batch_size_is_read(mode, shape):
    layer = InitialState(5, mode=mode)
    for x in (np.full(shape, np.nan, "float32"), np.ones(shape, "int32")):
        states = layer(x)
        assert isinstance(states, list)
        assert [tuple(s.shape) for s in states] == [(shape[0], 5)] * 2
        assert all(keras.backend.standardize_dtype(s.dtype) == "float32" for s in states)
        np.testing.assert_array_equal(numpy(states), np.zeros((2, shape[0], 5)))
    assert layer.count_params() == (10 if mode == "learned" else 0)


@backends.needs_tensorflow("other backends have no graphs of unknown size")
@pytest.mark.parametrize("mode", ["zeros", "learned", "noisy"])
def test_unknown_batch(mode):
    layer = InitialState(5, mode=mode)
    layer.build((None, None))
    for run in backends.compilations(lambda x: layer(x, training=True), (None, None)).values():
        for batch in (1, 4):
            assert [tuple(s.shape) for s in run(ops.ones((batch, 2)))] == [(batch, 5)] * 2


def test_one_state_is_still_a_list():
    (symbolic,) = InitialState(5, num_states=1)(keras.Input((None, 2)))
    assert symbolic.shape == (None, 5)
    (state,) = InitialState(5, num_states=1)(X)
    assert state.shape == (3, 5)


def test_random_states_do_not_begin_equal():
    layer = InitialState(
        5, mode="learned", state_initializer=keras.initializers.RandomNormal(seed=1)
    )
    h, c = numpy(layer(X))
    assert not np.isclose(h, c).any()
    np.testing.assert_array_equal(h[0], h[1])


def test_noise_is_fresh_independent_and_only_in_training():
    layer = InitialState(50, mode="noisy", stddev=0.3, seed=1)
    x = ops.ones((200, 2))
    assert (numpy(layer(x, training=False)) == 0).all()

    def train(x):
        return layer(x, training=True)

    # JAX compiles no call that draws from a layer's own seed outside `fit`.
    compiled = backends.compilations(train, x.shape).values() if backends.ON_TENSORFLOW else []
    for run in (train, *compiled):
        first, second = numpy(list(run(x))), numpy(list(run(x)))
        for noise in (*first, *second):
            assert abs(noise.mean()) < 0.3 * 4 / np.sqrt(noise.size)
            assert abs(noise.std() / 0.3 - 1) < 4 / np.sqrt(2 * noise.size)
        for other in (second[0], second[1], first[1]):
            assert abs(np.corrcoef(first[0].ravel(), other.ravel())[0, 1]) < 0.05
        assert abs(np.corrcoef(first[0])[0, 1:]).max() < 0.7  # examples of one batch differ too


def test_noise_repeats_with_the_seed():
    def draw(seed):
        layer = InitialState(5, mode="noisy", seed=seed)
        return [numpy(layer(X, training=True)) for _ in range(2)]

    np.testing.assert_array_equal(draw(7), draw(7))
    assert not np.isclose(draw(7), draw(8)).any()


def test_fit_trains_with_noise_and_predicts_without():
    """The loss is the mean square of what the layer gives: of the noise, then of zeros."""
    inputs = keras.Input((2,))
    (state,) = InitialState(500, 1, "noisy", stddev=0.3, seed=1)(inputs)
    model = keras.Model(inputs, SkipInit(1.0)(state))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = X[:, 0], np.zeros((3, 500))
    first, second = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose([first, second], 0.3**2, rtol=0.2)
    assert first != second
    assert model.evaluate(x, y, verbose=0) == 0
    assert (model.predict(x, verbose=0) == 0).all()


@pytest.mark.parametrize("mode", ["zeros", "learned", "noisy"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_with_an_lstm(mode, policy):
    inputs = keras.Input((None, 2))
    states = InitialState(5, mode=mode, dtype=policy)
    outputs = keras.layers.LSTM(5, dtype=policy)(inputs, initial_state=states(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(outputs))
    model.compile("adam", "mse")
    assert np.isfinite(model.fit(X, np.ones((3, 1)), verbose=0).history["loss"]).all()
    for state in states(X, training=True):
        assert keras.backend.standardize_dtype(state.dtype) == states.compute_dtype
    assert all(w.dtype == "float32" for w in states.trainable_weights)


@pytest.mark.filterwarnings("ignore:(?s).*structure of `inputs` doesn't match")  # Keras 3.10
@pytest.mark.parametrize("mode", ["zeros", "learned", "noisy"])
def test_saved_with_an_lstm(mode, tmp_path):
    seed = 3 if mode == "noisy" else None
    model = recurrent_model(keras.layers.LSTM(5), InitialState(5, mode=mode, seed=seed))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for training in (False, True):
        found, expected = (numpy(m(X, training=training)) for m in (loaded, model))
        np.testing.assert_array_equal(found, expected)


def test_takes_a_mask_and_gives_none():
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    embedding, lstm = keras.layers.Embedding(4, 2, mask_zero=True), keras.layers.LSTM(5)
    states = InitialState(5, mode="learned")
    inputs = keras.Input((None,), dtype="int32")
    x = embedding(inputs)
    outputs = lstm(x, initial_state=states(x), mask=embedding.compute_mask(inputs))
    model = keras.Model(inputs, outputs)
    checks.randomize(model)
    # As the docstring says: with the mask, padding changes nothing.
    found = numpy(model(tokens))
    np.testing.assert_allclose(found[:1], numpy(model(tokens[:1, :2])), rtol=1e-5)
    np.testing.assert_allclose(found[1:], numpy(model(tokens[1:, :1])), rtol=1e-5)
    assert states.compute_mask(x, None) == [None, None]


def test_keras_drops_the_mask_beside_an_initial_state():
    """Why the docstring asks for `mask=`. Fails when Keras mends it: then drop the advice."""
    embedding, lstm = keras.layers.Embedding(4, 2, mask_zero=True), keras.layers.LSTM(5)
    x = embedding(np.array([[1, 2, 0, 0]]))
    start = InitialState(5)(x)
    without, expected = numpy(lstm(x, initial_state=start)), numpy(lstm(x))
    mask = embedding.compute_mask(ops.convert_to_tensor([[1, 2, 0, 0]]))
    found = numpy(lstm(x, initial_state=start, mask=mask))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not np.allclose(without, expected)


def test_numpy_integers_are_stored_as_int():
    config = InitialState(
        np.int64(5), np.int32(1), "noisy", np.float32(0.5), seed=np.int64(3)
    ).get_config()
    assert type(config["units"]) is int
    assert type(config["num_states"]) is int
    assert type(config["stddev"]) is float
    assert type(config["seed"]) is int


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True])
@pytest.mark.parametrize("name", ["units", "num_states"])
def test_counts_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be a positive integer.*Received"):
        InitialState(**{"units": 5, name: value})


@pytest.mark.parametrize("mode", ["noise", None, "Zeros", ["zeros"]])
def test_mode_must_be_known(mode):
    with pytest.raises(ValueError, match=r"`mode` must be one of.*Received: mode="):
        InitialState(5, mode=mode)


@pytest.mark.parametrize("stddev", [-0.1, np.nan, np.inf, "0.1", None])
def test_stddev_must_be_a_finite_number(stddev):
    with pytest.raises(ValueError, match=r"`stddev` must be a finite number.*Received"):
        InitialState(5, mode="noisy", stddev=stddev)


def test_inputs_must_have_a_batch_axis():
    with pytest.raises(ValueError, match="expected min_ndim=1, found ndim=0"):
        InitialState(5)(np.float32(1.0))


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True, [1]])
def test_seed_must_be_an_integer(seed):
    with pytest.raises(ValueError, match=r"`seed` must be an integer of at least 0, or None.*Rec"):
        InitialState(5, mode="noisy", seed=seed)


@pytest.mark.parametrize("value", [None, "zeroes", 0.5])
def test_state_initializer_must_be_one(value):
    with pytest.raises(ValueError, match=r"`state_initializer` must be an initializer.*Rec"):
        InitialState(5, mode="learned", state_initializer=value)


@pytest.mark.parametrize(
    ("name", "value", "modes"),
    [
        ("stddev", 0.3, ["zeros", "learned"]),
        ("seed", 0, ["zeros", "learned"]),
        ("state_initializer", "ones", ["zeros", "noisy"]),
    ],
)
def test_arguments_that_the_mode_does_not_use(name, value, modes):
    """An error; but a file that an earlier version has written goes on loading."""
    (used,) = {"zeros", "learned", "noisy"} - set(modes)
    config = InitialState(5, mode=used, **{name: value}).get_config()
    for mode in modes:
        with pytest.raises(ValueError, match=rf"`{name}` has no effect with `mode='{mode}'`.*Rece"):
            InitialState(5, mode=mode, **{name: value})
        loaded = InitialState.from_config({**config, "mode": mode})
        assert loaded.get_config() == InitialState(5, mode=mode, name=loaded.name).get_config()
