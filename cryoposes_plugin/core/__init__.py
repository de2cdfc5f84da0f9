"""Learning and refining the orientations of particles: a library that knows no command and no run.

It takes values and returns values. Its packages, each of which imports only from those before it:

geometry        rotations, sampling of orientations, point groups
fourier         shells, filters, masks, resampling, slices, the CTF
io              STAR, MRC and npz files, folders of results
maps            alignment, FSC, symmetry and size of maps; phantoms and atomic models
particles       images, batches, half sets, grids and checks of particle sets
imaging         the forward model: projection, CTF, noise
likelihood      how well a map's slice explains an image, and its derivatives
networks        network architectures
models          trained networks and their folders
training        sources, objectives, the trainer
refinement      poses refined against a map
recovery        orientations from distances
reconstruction  maps from particles with poses
abinitio        the search for an initial volume
trust           whether poses, map and images belong together; junk
evaluation      errors of poses
plots           figures

Frames, signs and units are stated in `conventions`.
"""
