"""Files that travel with the package: pseudopotentials and the demo foundation model."""
