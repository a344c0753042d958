"""Encoders of one's own: a function or an ONNX file that maps windows of samples to vectors.

- `waveform`: what they have in common: windows of samples go in, what comes out is checked
- `callable`: `CallableEncoder`, a Python function
- `onnx`: `OnnxEncoder`, an ONNX file
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
