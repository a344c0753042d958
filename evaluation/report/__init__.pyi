from .write import report_files as report_files
from .write import write_report as write_report
