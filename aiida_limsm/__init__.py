"""From ab initio MD to a lithium diffusion tensor you can defend."""

__version__ = "0.1.0"
