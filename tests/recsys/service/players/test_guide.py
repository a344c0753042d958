"""The code of docs/players.md runs as it stands, but for the address and the key."""

import re
from pathlib import Path

from tests.recsys.service.players.conftest import Served

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "players.md"


def test_the_code(served: Served) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    block = re.sub(r'8000, "ct_[^"]*"', f'{served.port}, "{served.write}"', block)
    names: dict[str, object] = {}
    exec(compile(block, GUIDE.name, "exec"), names)
    names["player"].cleanup()  # type: ignore[attr-defined]
    assert len(names["way"]) == 8  # type: ignore[arg-type]
    assert served.model.live.users.row("ann") is not None
