"""Maps from particles with poses: direct Fourier inversion, and CGLS on CUDA."""
