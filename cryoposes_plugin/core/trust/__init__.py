"""How far the results can be trusted.

`frame.examine_frame` tests whether poses, map and images belong together, and `verdict.FrameTest`
says it. `explained.explained_share` is the share of the images' signal that a map explains, and
`common_frame.common_frame` the transform that takes one set of poses into another. `twin` simulates
images like those of a run, and junk; `junk` tells junk from particles, and `judge` puts a twin
through the steps of a refinement.

Nothing is imported here: most modules need TensorFlow.
"""
