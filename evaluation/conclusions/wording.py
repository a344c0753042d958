"""How figures and names are written in a sentence."""

from collections.abc import Sequence


def format_number(value: float) -> str:
    """A metric to three decimals; what would look like 0 and is not, as < 0.001."""
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def join_names(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; a name that has a comma itself is quoted."""
    names = [quote_name(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def quote_name(name: str) -> str:
    """A name as it stands in a sentence: quoted where it has a comma itself."""
    return f"“{name}”" if "," in name else name


def is_or_are(names: Sequence[str]) -> str:
    """``is`` for one, ``are`` for more."""
    return "is" if len(names) == 1 else "are"


def format_ratio(value: float) -> str:
    """How many times as much: to one decimal below ten."""
    return f"{value:.1f} times" if value < 9.95 else f"{value:.0f} times"


def format_p_value(p: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def as_sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return text[0].upper() + text[1:] + "."
