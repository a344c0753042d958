from .app import create_app as create_app
from .requests.keys import KeyFile as KeyFile
from .server import serve as serve
from .serving import ServedModel as ServedModel
from .settings import ServiceSettings as ServiceSettings
