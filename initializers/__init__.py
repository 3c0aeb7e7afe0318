"""Initializers, and functions that initialise or inspect a built model."""

from .activation_normal import ActivationNormal
from .calculate_gain import calculate_gain
from .chrono_bias import ChronoBias
from .conv_transpose_he_normal import ConvTransposeHeNormal
from .delta_orthogonal import DeltaOrthogonal
from .depthwise_he_normal import DepthwiseHeNormal
from .efficient_net_conv_kernel import EfficientNetConvKernel
from .efficient_net_dense_kernel import EfficientNetDenseKernel
from .initialize_output_bias import initialize_output_bias
from .lsuv import lsuv
from .maxout_normal import MaxoutNormal
from .per_gate_orthogonal import PerGateOrthogonal
from .prior_bias import PriorBias
from .residual_normal import ResidualNormal
from .signal_propagation import signal_propagation
from .signal_report import SignalReport
from .transfer_report import TransferReport
from .transfer_weights import transfer_weights

__all__ = [
    "ActivationNormal",
    "ChronoBias",
    "ConvTransposeHeNormal",
    "DeltaOrthogonal",
    "DepthwiseHeNormal",
    "EfficientNetConvKernel",
    "EfficientNetDenseKernel",
    "MaxoutNormal",
    "PerGateOrthogonal",
    "PriorBias",
    "ResidualNormal",
    "SignalReport",
    "TransferReport",
    "calculate_gain",
    "initialize_output_bias",
    "lsuv",
    "signal_propagation",
    "transfer_weights",
]
