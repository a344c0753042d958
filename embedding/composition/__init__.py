"""Composition: from what a song is to be like to its sound (US 2018/0276540 A1, paragraph 62).

``notes`` composes with a small ensemble (``ensemble``, ``openings``, ``score``) as a differentiable
``listener`` hears it, towards one of the ``goals``; ``dreaming`` is the patent's way, through a
picture; ``picture`` draws what came out.
"""
