"""Audio features: pure functions of a waveform or of its power spectrogram, as in librosa.

Each function takes the mono waveform ``y``, float [samples], or ``S``, the power spectrogram of
`power_spectrogram`, and returns [features, frames] or [frames]; frame t is centred at sample
``t * hop_length``. Computing ``S`` once and giving it to all functions saves time. With the same
parameters, values equal those of librosa 0.11 (Hann window, centred, zero padding, tuning 0) if
librosa has the function.

- `spectrum`: power spectrogram with linear or logarithmic frequencies
- `harmony`: chromagram, tonnetz, constant-Q spectrum
- `melody`: cepstrum, pitch, melodic range
- `rhythm`: onset strength, tempogram, cyclic tempogram
- `timbre`: mel spectrogram, MFCC, spectral contrast and centroid
- `transcription`: notes, by probabilistic latent component analysis
- `filters`: the filter banks of all these
- `snippet`: one snippet with the intermediate results that transforms share
- `table`: all transforms with their axes and units
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
