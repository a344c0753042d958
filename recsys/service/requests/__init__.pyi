from .keys import KeyFile as KeyFile
from .logs import JsonLines as JsonLines
from .metrics import ServiceMetrics as ServiceMetrics
from .running import Lane as Lane
