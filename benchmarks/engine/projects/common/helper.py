"""What every cell calls, in a module of its own. The benchmark edits the factor."""


def measure(value: int) -> int:
    factor = 3
    return value * factor
