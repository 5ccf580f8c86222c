"""A folder that is gone when a test ends: the checkpoints of one row take gigabytes, and pytest keeps three runs."""

import shutil

import pytest


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)
