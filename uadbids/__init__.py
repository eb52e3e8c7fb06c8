"""Find what a healthy brain would not show in FLAIR images, without labels."""

__version__ = "0.1.0.dev0"
