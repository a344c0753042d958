"""How numbers and names are written in sentences."""

from evaluation.conclusions.wording import format_number, join_names


def test_names_and_numbers():
    assert join_names(["a"]) == "a"
    assert join_names(["a", "b"]) == "a and b"
    assert join_names(["a", "b", "c, d"]) == "a, b and “c, d”"
    assert format_number(0.0) == "0.000"
    assert format_number(0.0004) == "<0.001"
    assert format_number(0.1236) == "0.124"
