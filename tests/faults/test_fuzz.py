"""F18: damaged inputs give our documented errors and nothing else: no crash, no hang, no memory beyond a bound."""

import pytest
from tests.faults.fuzz import TARGETS
from tests.faults.scale import share

pytestmark = pytest.mark.timeout(900)
INPUTS = share(2000, 40)
MEMORY = 1 << 30


@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors(server, tmp_path, name):
    ended = server.run("fuzz_target", name=name, folder=tmp_path, count=INPUTS, seed=11, memory=MEMORY, timeout_s=600)
    last = tmp_path / "input"
    shown = last.read_bytes()[:400] if last.exists() else b""
    assert ended.code == 0, f"{ended.code}, last input {shown!r}\n{ended.log[-6000:]}"


def test_an_undocumented_error_is_noticed(server, tmp_path):
    ended = server.run("fuzz_target", name="weights", folder=tmp_path, count=200, seed=12, broken="errors_untranslated")
    assert ended.code == 3
    assert "SafetensorError" in ended.log
