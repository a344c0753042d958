from .config import RecommenderConfig as RecommenderConfig
from .recommender import Recommender as Recommender
