"""The parts of the evaluation report: tables, plots, page and Markdown."""
