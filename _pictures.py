"""What every picture needs."""


def import_pyplot():
    """matplotlib.pyplot, or one sentence with what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'kerazoo[plot]'") from error
    return pyplot
