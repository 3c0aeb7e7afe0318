from typing import NamedTuple


class TransferReport(NamedTuple):
    """What `transfer_weights` did; paths are those of the target's weights, `layer/weight`.

    Attributes:
        copied: List of paths whose values are now the source's.
        shape_mismatch: List of `(path, source_shape, target_shape)`; these layers kept all of
            their weights.
        missing: List of paths for which the source has nothing; kept.
        unused: List of the source's paths that have no place in the target.

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
        return "\n".join(lines)
