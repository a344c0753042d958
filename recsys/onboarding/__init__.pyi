from .prediction import Prediction as Prediction
from .recordings import OnboardingResult as OnboardingResult
from .watching import FolderWatcher as FolderWatcher
from .watching import WatchEvent as WatchEvent
