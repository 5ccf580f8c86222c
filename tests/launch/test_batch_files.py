"""The files of the page on batch systems name commands, variables and exit codes that exist."""

import json
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from tests.helpers.trees import ROOT

from bandwise.launch.arrays import FIRST_INDEX
from bandwise.launch.queue import Meaning, meaning_of

FOLDER = ROOT / "docs" / "batch"
COMMAND = ["bandwise", "train", "--out", "/runs/mine", "--branch", "auto"]


def errors(content: dict, operation: str) -> str:
    """Return what the service model of AWS Batch finds wrong with the input of an operation."""
    model = botocore.session.get_session().get_service_model("batch")
    return ParamValidator().validate(content, model.operation_model(operation).input_shape).generate_report()


def meanings(codes) -> set[Meaning]:
    return {meaning_of(int(code)) for code in codes}


@pytest.mark.parametrize(
    ("name", "operation"), [("aws-job-definition", "RegisterJobDefinition"), ("aws-submit", "SubmitJob")]
)
def test_aws_batch_takes_them(name, operation):
    content = json.loads((FOLDER / f"{name}.json").read_text())
    assert not errors(content, operation)
    assert "Unknown parameter" in errors({**content, "arrayProps": {"size": 4}}, operation)


def test_aws_batch_starts_again_what_another_try_can_mend():
    content = json.loads((FOLDER / "aws-job-definition.json").read_text())
    assert content["containerProperties"]["command"] == COMMAND
    rules = content["retryStrategy"]["evaluateOnExit"]
    again = [rule["onExitCode"] for rule in rules if "onExitCode" in rule and rule["action"] == "RETRY"]
    assert meanings(again) == {Meaning.STOPPED, Meaning.LOCKED}
    assert rules[-1] == {"onReason": "*", "action": "EXIT"}


def test_kubernetes_gives_up_what_is_final_and_nothing_else():
    spec = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert container["command"] == COMMAND
    assert (spec["completionMode"], spec["completions"]) == ("Indexed", spec["maxFailedIndexes"])
    final = [rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailIndex"]
    assert [each["containerName"] for each in final] == [container["name"]]
    assert meanings(final[0]["values"]) == {Meaning.FAILED}


def test_skypilot_starts_again_what_was_stopped():
    task = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    assert task["run"].split() == COMMAND
    assert meanings(task["resources"]["job_recovery"]["recover_on_exit_codes"]) == {Meaning.STOPPED}


def test_the_page_names_every_variable():
    page = Path(ROOT / "docs" / "batch.md").read_text()
    assert not {name for name in FIRST_INDEX if f"`{name}`" not in page}
