"""All steps of an LSTM layer in one operation, for CPUs, where Keras loops over them.

A loop takes longer to start its operations than to compute them, so on a CPU a training step is
faster without it, and its graph is traced sooner. On a GPU Keras has cuDNN.
"""

import keras
import tensorflow as tf


def can_fuse(layer):
    """Whether TensorFlow has the operation for a recurrent layer, here. XLA never has it."""
    return (
        isinstance(layer, keras.layers.LSTM)
        and layer.compute_dtype == "float32"
        and not tf.config.list_physical_devices("GPU")
    )


def fused_lstm(layer, x, states):
    """What `layer` makes of `x`, `(batch, time, inputs)`: its outputs and the states at the end."""
    cell = layer.cell
    kernel = tf.concat([cell.kernel, cell.recurrent_kernel], axis=0)
    h, c = _fused(tf.transpose(x, (1, 0, 2)), *states, kernel, tf.convert_to_tensor(cell.bias))
    return tf.transpose(h, (1, 0, 2)), [h[-1], c[-1]]


@tf.custom_gradient
def _fused(x, h, c, kernel, bias):
    """The states after each step, `(time, batch, units)`."""
    # TensorFlow's own gradient of the operation is that of its first version, whose gates have
    # another order: it is wrong.
    peephole = tf.zeros_like(c[0])
    inputs = {
        "seq_len_max": tf.shape(x, out_type="int64")[0],
        "x": x,
        "h_prev": h,
        "cs_prev": c,
        "w": kernel,
        "wci": peephole,
        "wcf": peephole,
        "wco": peephole,
        "b": bias,
    }
    inside = tf.raw_ops.BlockLSTMV2(**inputs, cell_clip=0.0)._asdict()  # 0: no clipping

    def gradient(dh, dc):
        found = tf.raw_ops.BlockLSTMGradV2(
            **inputs, **inside, h_grad=dh, cs_grad=dc, use_peephole=False
        )
        return found.x_grad, found.h_prev_grad, found.cs_prev_grad, found.w_grad, found.b_grad

    return (inside["h"], inside["cs"]), gradient
