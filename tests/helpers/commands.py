"""Commands in this process, whose answer is an object."""

import json
from typing import Any

import pytest

from bandwise.cli import main


def call(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> dict[str, Any]:
    """Run a command with --json, which must end with `code`, and return its object."""
    capsys.readouterr()
    assert main([*map(str, argv), "--json"]) == code
    return json.loads(capsys.readouterr().out)
