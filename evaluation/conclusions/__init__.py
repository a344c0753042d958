"""What a comparison allows one to conclude, as sentences made by rules.

- `verdict`: "ship", "not yet" or "cannot tell", with the answers to four questions.
- `summary`: the summary of a comparison, further findings, and cautions.
- `headlines`: sentences on one split.
- `audio_controls`: sentences on the controls, first of all on shuffled audio.
- `evidence`: which differences are statistically supported.
- `wording`: how numbers and names are written.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
