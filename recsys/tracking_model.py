"""Kept for models logged to MLflow before 0.1.0, whose scripts import it; remove in 0.2.0."""

ARTIFACT, FALLBACK = "recommender", "fallback"
