from .items import ItemTable as ItemTable
from .live import LiveModel as LiveModel
from .state import FittedState as FittedState
from .storage import load_model as load_model
from .storage import open_catalog as open_catalog
from .updates import UpdateReport as UpdateReport
from .user_search import UserSearch as UserSearch
from .users import UserTable as UserTable
