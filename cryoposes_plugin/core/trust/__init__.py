"""How far the results can be trusted.

`frame.examine_frame` says whether poses, map and images belong together. `explained.explained_share`
is the share of the images' signal that a map explains, and `common_frame.common_frame` the
transform that takes one set of poses into another.

Nothing is imported here: most modules need TensorFlow.
"""
