"""A tracker whose package is missing is refused before anything heavy starts."""

from __future__ import annotations

import pytest

from frostline.config import checks
from frostline.config.compose import compose_config
from frostline.errors import ConfigError


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_one_line_and_old_runs_can_still_be_read(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda package: None)
    config = compose_config((f"logger={name}",))
    with pytest.raises(ConfigError) as refused:
        checks.check_tracker(config)
    assert str(refused.value) == f"logger={name}: not installed; pip install -e '.[{name}]'"
    checks.check_tracker(compose_config(("logger=csv",)))
