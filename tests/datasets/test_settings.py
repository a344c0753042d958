"""Settings: no class takes NaN, infinity or a truth value for a number, however it is made."""

import copy
import importlib
import json
import math
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest

from datasets.errors import InvalidArgumentError
from datasets.settings import Settings
from recsys import RecommenderConfig

WILD = [math.nan, math.inf, -math.inf]


def all_settings() -> list[type[Settings]]:
    """Every class of settings of the library."""
    for name in ("datasets", "embedding", "evaluation", "recsys"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if found.name.endswith((".config", ".make", ".composer", ".microphone")) or (
                found.name.startswith("recsys.experiments.")
            ):
                importlib.import_module(found.name)
    found, waiting = [], [Settings]
    while waiting:
        waiting += waiting.pop().__subclasses__()
        found += [one for one in waiting if one not in found]
    return [one for one in found if one.__module__.split(".")[0] != "tests"]


def places(annotation: Any, value: Any) -> Iterator[Any]:
    """Values of this type that hold `value` in the place of each number."""
    kinds = get_args(annotation)
    if get_origin(annotation) is dict:
        name = get_args(kinds[0])[0] if get_args(kinds[0]) else "a"
        yield from ({name: one} for one in places(kinds[1], value))
    elif get_origin(annotation) is tuple:
        yield from ((one,) for one in places(kinds[0], value))
    elif annotation in (int, float):
        yield value
    else:
        for kind in kinds:
            if isinstance(kind, type) or get_origin(kind) is not None:
                yield from places(kind, value)


def number_fields() -> list[Any]:
    """Every field of every class that holds numbers."""
    return [
        pytest.param(kind, name, id=f"{kind.__name__}.{name}")
        for kind in all_settings()
        for name, field in kind.model_fields.items()
        if [*places(field.annotation, 0)]
    ]


def required(kind: type[Settings]) -> dict[str, Any]:
    return {"transform": "mel", "rows": 8} if kind.__name__ == "Band" else {}


def test_the_walk_finds_the_settings() -> None:
    names = {kind.__name__ for kind in all_settings()}
    assert names >= {"ALSConfig", "FusionConfig", "EncoderConfig", "AugmentationConfig", "Band"}
    assert names >= {"SnippetConfig", "DemoSettings", "SearchConfig", "EvaluationConfig"}
    found = {name for one in number_fields() for name in one.values[1:]}
    assert found >= {"warm", "cold", "strengths", "discovery", "regularization", "timeout", "at"}


@pytest.mark.parametrize(("kind", "name"), number_fields())
@pytest.mark.parametrize("wild", WILD, ids=str)
def test_no_number_is_nan_or_infinite(kind: type[Settings], name: str, wild: float) -> None:
    for value in places(kind.model_fields[name].annotation, wild):
        with pytest.raises(InvalidArgumentError, match=name) as raised:
            kind(**{**required(kind), name: value})
        assert "\n" not in str(raised.value)


def sub_settings() -> list[Any]:
    return [
        pytest.param(part, name, id=f"{part}.{name}")
        for part, field in RecommenderConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
        for name, own in field.annotation.model_fields.items()
        if float in (get_args(own.annotation) or (own.annotation,))
    ]


@pytest.mark.parametrize(("part", "name"), sub_settings())
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_not_in_a_file_either(part: str, name: str, text: str) -> None:
    values = json.loads(f'{{"{part}": {{"{name}": {text}}}}}')
    for make in (
        lambda: RecommenderConfig.from_json(values),
        lambda: RecommenderConfig.model_validate(values),
        lambda: RecommenderConfig.model_validate_json(json.dumps(values)),
        lambda: RecommenderConfig.model_construct(**values),
        lambda: RecommenderConfig().replace(**values),
        lambda: RecommenderConfig().model_copy(update=values),
    ):
        with pytest.raises(InvalidArgumentError, match=rf"^RecommenderConfig: {part}\.{name}: "):
            make()


@pytest.mark.parametrize("name", ["seed", "threads"])
def test_a_truth_value_is_no_number(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name} must be a number, not True"):
        RecommenderConfig(**{name: True})
    with pytest.raises(InvalidArgumentError, match=r"als\.alpha must be a number, not False"):
        RecommenderConfig(als={"alpha": False})
    with pytest.raises(InvalidArgumentError, match=r"fusion\.warm must be a number, not True"):
        RecommenderConfig(sources=("als",), fusion={"warm": {"als": True}})
    with pytest.raises(InvalidArgumentError, match=r"strengths must be a number, not False"):
        RecommenderConfig(content_map={"strengths": (1.0, False)})


@pytest.mark.parametrize(
    "values",
    [{"threads": 10**30}, {"encoder": {"threads": 10**30}}, {"retrieval": {"n_trees": 10**9}}],
)
def test_numbers_that_no_machine_has_room_for_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="Input should be less than or equal to"):
        RecommenderConfig(**values)


def test_a_value_cannot_be_set_later() -> None:
    config = RecommenderConfig()
    with pytest.raises(InvalidArgumentError, match=r"^RecommenderConfig: seed: settings cannot be"):
        config.seed = 3  # type: ignore[misc]
    with pytest.raises(InvalidArgumentError, match="seed"):
        del config.seed
    assert config.seed == 0
    assert config.model_copy() == config.model_copy(deep=True) == copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_weight_that_was_changed_in_place_is_found() -> None:
    weights = {"als": 1.0, "ease": 1.0}
    config = RecommenderConfig(sources=("als", "ease"), fusion={"warm": weights})
    weights["als"] = math.nan  # the caller's own dictionary
    assert config.checked() == config
    assert config.fusion.warm is not None
    config.fusion.warm["ease"] = math.inf
    with pytest.raises(InvalidArgumentError, match=r"fusion\.warm\.ease: Input should be a finite"):
        config.checked()


def test_a_name_with_a_line_break_makes_no_second_line() -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        RecommenderConfig(**{"two\nlines": 1})
    assert "\n" not in str(raised.value)
