"""Composing configs as the entry points do."""

import pytest
from hydra import compose, initialize_config_dir

from mixlingual.config.checks import to_config
from mixlingual.config.schema import SCHEMAS
from mixlingual.grid.hydra import CONF_DIR, register


@pytest.fixture(scope="module")
def composed():
    """The checked config of an entry point and its overrides."""
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        yield lambda *overrides, primary="train": to_config(
            SCHEMAS[primary], compose(primary, overrides=list(overrides))
        )
