"""How numbers and names are written in sentences."""

from collections.abc import Sequence


def format_number(value: float) -> str:
    """Write a metric to three decimals; a small positive value that would look like 0 as <0.001.

    Examples:
        >>> format_number(0.1236), format_number(0.0004)
        ('0.124', '<0.001')
    """
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def format_percent(value: float) -> str:
    """Write a share in percent to one decimal, with a minus sign below 0.

    Examples:
        >>> format_percent(0.0423), format_percent(-0.01)
        ('4.2%', '−1.0%')
    """
    return f"{value:.1%}".replace("-", "−")


def format_ratio(value: float) -> str:
    """Write a ratio, to one decimal below ten.

    Examples:
        >>> format_ratio(1.234), format_ratio(12.3)
        ('1.2 times', '12 times')
    """
    return f"{value:.1f} times" if value < 9.95 else f"{value:.0f} times"


def format_p_value(p: float) -> str:
    """Write a p-value to three decimals.

    Examples:
        >>> format_p_value(0.0123), format_p_value(0.0002)
        ('p = 0.012', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def join_names(names: Sequence[str]) -> str:
    """Join names as in a sentence; a name that contains a comma is quoted.

    Examples:
        >>> join_names(["als", "bpr", "hybrid, shuffled audio"])
        'als, bpr and “hybrid, shuffled audio”'
    """
    names = [quote_name(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def quote_name(name: str) -> str:
    """Quote a name that contains a comma, for use in a sentence.

    Examples:
        >>> quote_name("hybrid, shuffled audio"), quote_name("hybrid")
        ('“hybrid, shuffled audio”', 'hybrid')
    """
    return f"“{name}”" if "," in name else name


def is_or_are(names: Sequence[str]) -> str:
    """Return the verb for these names: "is" for one, else "are"."""
    return "is" if len(names) == 1 else "are"


def as_sentence(text: str) -> str:
    """Capitalise the first letter and add a full stop.

    Examples:
        >>> as_sentence("no control was run")
        'No control was run.'
    """
    return text[0].upper() + text[1:] + "."
