"""The rows of ResNets at their real input sizes."""

import pytest
from tests.rows.rows import parameters, run_row


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", parameters(lambda row: row.config.network.model.startswith("resnet")))
def test_a_row_runs_from_archives_to_ten_crops(name, folder, monkeypatch, capsys):
    run_row(name, folder, monkeypatch, capsys)
