from .embedding import Embedding
from .fallback import Fallback
from .outer_products import OuterProducts

# In the order in which they are asked.
_FAMILIES = (OuterProducts, Embedding)


def make_block(usage, recorder, rows):
    """The block for some weights: of the first family that applies, else `Fallback`.

    Args:
        usage: Their `Usage`, from `find_usages`.
        recorder: The `Recorder` that came with it.
        rows: Rows of J for each example.
    """
    calls = [recorder.calls[i] for i in usage.calls]
    if all(call.layer is calls[0].layer for call in calls):
        for family in _FAMILIES:
            block = family.of(usage, calls, recorder.weights, rows)
            if block is not None:
                return block
    return Fallback(usage, recorder)
