"""The code of README and guide runs, in the order in which it stands there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


@pytest.mark.parametrize(
    "file", [README, ROOT / "docs" / "choosing.md"], ids=lambda file: file.name
)
def test_python_blocks(file: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    if not file.exists():
        pytest.skip(f"no {file.name} beside these tests")
    blocks = re.findall(r"^```python\n(.*?)^```", file.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    exec(compile("\n".join(blocks), str(file), "exec"), {})
    pyplot.close("all")


def test_setup_commands_are_single_lines() -> None:
    lines = README.read_text("utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert "-m creg" in commands[0]
    assert "pytest" in commands[1]
