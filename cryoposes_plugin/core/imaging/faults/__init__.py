"""What real images have and plain simulated ones lack: one file for each fault.

Draws are functions of a seed; that of one image, where it is not drawn with all others, of the seed
and the number of the image.
"""
