"""Music composed by gradient descent through the network (US 2018/0276540 A1, paragraph 62).

- `composer`: notes optimised towards a goal (`compose`), and sound files
- `goals`: what a composition should sound like: labels, or a song
- `instruments`: waveforms of all notes and drums
- `initial_loop`: random loops from which the optimisation starts
- `loop`: a loop as levels of notes on a grid, rendered differentiably
- `image_inversion`: the route of the patent: from a label to an image, from the image to sound
- `plot`: a composition as a figure
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
