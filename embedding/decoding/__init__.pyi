from .file_kinds import describe_other_file as describe_other_file
