"""How many processor cores there are to work with."""


def available_cores() -> int:
    """Processor cores this process may use: its affinity, and the quota of its container."""
    from loky import cpu_count

    return int(cpu_count())
