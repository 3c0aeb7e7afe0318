"""What a process pays for many forecasters and many series."""

import gc
import weakref

import checks
import numpy as np
import pytest

from kerazoo.models import StatefulLSTMForecaster


def test_a_model_that_has_forecast_is_freed():
    model = StatefulLSTMForecaster((2,))
    model.set_weights([w + 0.1 for w in model.get_weights()])
    model.forecast(3, np.arange(9.0))
    alive = weakref.ref(model._reader._inference)
    del model
    gc.collect()
    assert alive() is None


@pytest.mark.slow
def test_many_models_are_not_taken_for_one_traced_again():
    """Fault 10: from the fifth model on `forecast` met TensorFlow's warning of retracing.

    `fit` of any Keras model does, which is Keras's own.
    """
    printed = checks.run_in_fresh_process(
        """
        import logging, io
        import keras, numpy as np, tensorflow as tf, kerazoo
        heard = io.StringIO()
        tf.get_logger().addHandler(logging.StreamHandler(heard))
        series = [np.sin(np.arange(n)) + 5 for n in (30, 41)]
        for seed in range(8):
            model = kerazoo.models.StatefulLSTMForecaster((2,), seasonal_difference=seed)
            model.set_weights([w + 0.1 for w in model.get_weights()])
            state = model.warm_up(series)
            for _ in range(7):
                _, state = model.step([1.0, 2.0], state)
            for horizon in range(1, 8):
                model.forecast(horizon, series[0][: 20 + horizon])
                model.predict(series[1][: 20 + horizon])
        said = heard.getvalue()
        print("retracing" if "retracing" in said else "quiet", said[:500])
        """,
    )
    assert "quiet" in printed, printed


@pytest.mark.slow
def test_training_takes_no_memory_beyond_the_data():
    """1,000 series repeated ten times: what a process holds at most grows by little."""
    printed = checks.run_in_fresh_process(
        """
        import resource, numpy as np, kerazoo
        rng = np.random.default_rng(0)
        series = [rng.normal(size=130).cumsum() for _ in range(1000)]
        model = kerazoo.models.StatefulLSTMForecaster((4,), seasonal_difference=12)
        model.compile("adam")
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        model.fit(series, bptt_steps=130, batch_size=64, verbose=0)
        before = peak()
        model.fit(series * 10, bptt_steps=130, batch_size=64, verbose=0)
        print("grew", peak() - before)
        """,
    )
    grew = float(printed.split("grew")[1])
    assert grew < 60, printed  # MiB; all chunks together would take several hundred
