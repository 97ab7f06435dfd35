"""docs/introspection.md shows what is so: its sessions are run."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "introspection.md"


def test_the_sessions_give_what_they_show() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf8"), re.DOTALL | re.MULTILINE)
    sessions = "\n\n".join(block for block in blocks if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(sessions, {}, PAGE.name, str(PAGE), 0)
    told: list[str] = []
    failed, tried = doctest.DocTestRunner(verbose=False).run(test, out=told.append)
    assert tried > 20
    assert failed == 0, "".join(told)
