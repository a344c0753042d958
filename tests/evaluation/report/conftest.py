"""What tests of reports share."""

import pytest


@pytest.fixture
def no_pictures(monkeypatch):
    """Write reports without .png files: drawing them takes most of the time of a report."""
    monkeypatch.setattr("evaluation.report.write.write_plot", lambda *_, **__: None)
