"""Figures and pages: of a scan and its subject, of a study, of an evaluation, of a training."""
