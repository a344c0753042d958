from .encoder import MusiCNN as MusiCNN
from .front_end import MusiCNNFrontEnd as MusiCNNFrontEnd
from .weights import get_musicnn as get_musicnn
