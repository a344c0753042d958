from .audience import AudienceOptions as AudienceOptions
from .audience import song_audience as song_audience
from .batch_files import BatchReport as BatchReport
from .explanation import Explanation as Explanation
from .options import ListOptions as ListOptions
from .ranking import recommend_for_user as recommend_for_user
from .similar import similar_items as similar_items
