import keras

from .curvature import family_of
from .joint_objective import JointObjective
from .objective import Objective
from .replicas import Replicas


class ObjectiveMaker:
    """Makes the objective of each batch of a compiled model.

    Args:
        network: Keras model.
        losses: What `compile` was given as `loss`: one, or a structure of them.

    Raises:
        ValueError: A loss that is not smooth; weights of several distribution strategies, or of
            one that is not supported.
    """

    def __init__(self, network, losses):
        self.network = network
        self.replicas = Replicas(network.variables)
        for loss in keras.tree.flatten(losses):
            family_of(loss)  # raises here, in `compile`, rather than in `fit`

    def __call__(self, weights, loss, losses_of, x):
        """The `Objective` of a batch.

        Args:
            weights: The `FlatWeights`.
            loss: Function of the network's outputs to the scalar Keras loss of the whole batch,
                regularizers included.
            losses_of: Function of the structure of the outputs to the loss of each, flattened;
                None where an output has none.
            x: Inputs of the batch.
        """

        def families_of(structure):
            return [family_of(one) for one in losses_of(structure)]

        arguments = self.network, weights, loss, families_of, x
        if self.replicas.num_replicas > 1:
            return JointObjective(self.replicas, *arguments)
        return Objective(*arguments)
