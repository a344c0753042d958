from .callable import CallableEncoder as CallableEncoder
from .onnx import OnnxEncoder as OnnxEncoder
from .onnx import OnnxSettings as OnnxSettings
from .onnx import OnnxTag as OnnxTag
