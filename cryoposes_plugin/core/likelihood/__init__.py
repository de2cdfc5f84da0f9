"""The likelihood of poses: a map's central slices, and their inner products with images.

`pose_likelihood.PoseLikelihood` is the interface. Its work is done by `half_volume`, compiled by
Numba, on the CPU, and by `on_gpu`, in TensorFlow, where there is a GPU.

Nothing is imported here: most modules need TensorFlow.
"""
