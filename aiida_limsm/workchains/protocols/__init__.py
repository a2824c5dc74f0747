"""One YAML of input protocols per workchain."""
