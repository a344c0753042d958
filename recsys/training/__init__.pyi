from .blending import Blend as Blend
from .blending import choose_blend as choose_blend
from .fit import fit_state as fit_state
from .relearning import relearned as relearned
from .usable_sources import choose_sources as choose_sources
from .validation import ValidationSplit as ValidationSplit
from .validation import choose_regularization as choose_regularization
from .validation import hold_out as hold_out
