"""Pictures of sound: pure functions of a waveform or of a power spectrogram already at hand.

Every function takes, in librosa's manner, the waveform ``y`` (float, [samples], mono) or ``S``, the
power spectrogram of :func:`power_spectrogram`, and gives [features, frames] or [frames]; frame t is
centred at sample ``t * hop_length``. Giving all of them one ``S`` is what makes them fast. Given
the same parameters the values equal librosa 0.11's (window Hann, centred, zero padding, tuning 0),
where librosa has the function.

:mod:`embedding.transforms.table` lists them all with their axes and units.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
