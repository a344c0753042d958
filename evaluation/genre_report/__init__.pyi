from .conclusions import summarise_study as summarise_study
from .write import write_study as write_study
