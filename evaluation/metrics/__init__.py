"""Metrics of recommendation lists: ranking accuracy, and what lists are like besides.

- `hits`: check lists and encode them as hit matrices, which all metrics take.
- `ranking`: precision, recall, nDCG, MAP, MRR; AUC per item and per user, recall of audiences.
- `beyond_accuracy`: novelty, diversity, popularity, serendipity, calibration, coverage.
- `whole_lists`: new items in lists of everything: places, exposure, nDCG, and what they cost.
- `slices`: nDCG and recall on parts of the items and users.
- `sampling`: rank sampled candidates, to compare with figures published that way.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
