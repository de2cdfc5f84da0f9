"""A first volume and first poses from the images alone."""
