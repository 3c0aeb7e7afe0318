from typing import NamedTuple


class TransferReport(NamedTuple):
    """What `transfer_weights` did; paths are those of the target's weights, `layer/weight`.

    Attributes:
        copied: List of paths whose values are now the source's.
        shape_mismatch: List of `(path, source_shape, target_shape)`; these layers kept all of
            their weights.
        missing: List of paths for which the source has nothing; kept.
        unused: List of the source's paths that have no place in the target.
        other_state: Dict from the path of state that is no weight, such as a vocabulary, bin
            boundaries or a random seed, to what became of it: `"copied"`; `"missing"`, the source
            has none; `"unused"`, the target has no place for it; `"differs"`, an argument of the
            target's layer says otherwise; `"kept"`, a random seed or the state of a stateful RNN,
            which stay as they are. Default: none.

    Example:

    >>> report = kerazoo.initializers.TransferReport(["a/kernel"], [], ["head/kernel"], [])
    >>> print(report.table())
    copied          1
    shape mismatch  0
    missing         1  head/kernel
    unused          0
    """

    copied: list
    shape_mismatch: list
    missing: list
    unused: list
    other_state: dict | None = None

    def is_complete(self):
        """Whether every weight and all other state of both sides was matched, but what is kept."""
        left = set((self.other_state or {}).values()) - {"copied", "kept"}
        return not (self.shape_mismatch or self.missing or self.unused or left)

    def table(self):
        """Counts, and the paths of all that was not copied."""
        lines = [f"copied          {len(self.copied)}"]
        mismatches = [f"{path} {a} -> {b}" for path, a, b in self.shape_mismatch]
        for name, paths in (
            ("shape mismatch", mismatches),
            ("missing", self.missing),
            ("unused", self.unused),
        ):
            lines.append(f"{name:<16}{len(paths)}  {', '.join(paths)}".rstrip())
        if self.other_state:
            states = ", ".join(f"{path} {what}" for path, what in self.other_state.items())
            lines.append(f"other state     {len(self.other_state)}  {states}")
        return "\n".join(lines)
