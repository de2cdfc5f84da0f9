"""Maps: FSC, alignment, symmetry, size, and densities of atomic models and of a phantom."""
