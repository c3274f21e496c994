"""What an explainer receives, how it is registered, and what several methods share; the methods are in ``methods/``."""
