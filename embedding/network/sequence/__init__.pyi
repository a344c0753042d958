from .heads import SequenceHead as SequenceHead
