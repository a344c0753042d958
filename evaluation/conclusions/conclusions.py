"""What the figures allow one to say, in words, by rules.

A difference is stated only where its paired bootstrap interval leaves out 0 and its p-value,
corrected for the number of models, is below the level; everything else is "no difference shown",
which is not the same as no difference.
"""

from evaluation.comparison.candidate_sets import CATALOGUE
from evaluation.comparison.comparison import Comparison
from evaluation.conclusions.audio_controls import controls_in_words
from evaluation.conclusions.cautions import cautions
from evaluation.conclusions.evidence import best_model, first_split, main_measure
from evaluation.conclusions.findings import findings
from evaluation.conclusions.headlines import cold_headline, headline, opening
from evaluation.conclusions.wording import listing, number

__all__ = [
    "best_model",
    "cautions",
    "findings",
    "first_split",
    "listing",
    "main_measure",
    "number",
    "summarise",
]


def summarise(comparison: Comparison, noun: str = "songs") -> list[str]:
    """At most three sentences: new items, what the controls say about them, known items.

    Where neither was measured, the first split. ``noun`` is what the items are called;
    :func:`main_measure` decides which model is best.
    """
    sentences = []
    cold = first_split(comparison, "cold")
    if cold is not None:
        sentences.append(cold_headline(comparison, cold, opening(comparison, cold, noun)))
        sentences.append(controls_in_words(comparison, cold))
    warm = first_split(comparison, "warm")
    if warm is not None:
        sentences.append(headline(comparison, warm, CATALOGUE, opening(comparison, warm, noun)))
    return sentences or findings(comparison, noun)[:1]
