"""cryoSPARC's particle datasets (.cs): arrays of records, with a column for each field.

`dataset` reads and writes the arrays, `reader` makes a particle table of one, `writer` brings a
table back into the array that it came from.
"""
