"""The matrix covers the published tables, and what CI runs of it covers every network with every stem and input."""

from tests.rows.rows import IN_CI, ROWS, parameters

from bandwise.config import RunConfig
from bandwise.recipes.catalog import all_recipes


def network_of(config: RunConfig) -> tuple[str, str]:
    return config.network.model, config.network.stem


def input_px(config: RunConfig) -> int:
    return config.training.crop // config.split.stride


def test_the_matrix_has_every_published_row():
    from_catalog = [name for name, row in all_recipes().items() if row.config.data.data.startswith("imagenet")]
    assert sorted(ROWS) == sorted(from_catalog)
    assert len(ROWS) == 24
    resnets = parameters(lambda row: row.config.network.model.startswith("resnet"))
    others = parameters(lambda row: not row.config.network.model.startswith("resnet"))
    assert (len(resnets), len(others)) == (18, 6)
    assert sum(not parameter.marks for parameter in resnets + others) == len(IN_CI)


def test_ci_runs_every_network_with_every_stem_and_every_input():
    assert set(IN_CI) <= set(ROWS)
    some, every = ([ROWS[name].config for name in names] for names in (IN_CI, ROWS))
    for of in (network_of, input_px, lambda config: config.split.stride, lambda config: config.data.source):
        assert {of(config) for config in some} == {of(config) for config in every}
