from .comparison import comparison_runs as comparison_runs
from .model import log_model as log_model
from .registry import fetch_model as fetch_model
from .runs import TrackedRun as TrackedRun
from .runs import tracked_run as tracked_run
from .runs import untracked as untracked
