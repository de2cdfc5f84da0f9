"""Poses refined against a map, to noise-limited accuracy.

`refinement.Refinement` compares particles with a map, `refinement.refine_all` refines all of them,
and `results` writes the results. The starting poses come from `starts.GivenStarts`,
`network_starts.NetworkStarts`, or both together, `starts.CombinedStarts`; `multi_start.Settings`
limits the search. `shift_finder.ShiftFinder` measures shifts alone, without a refinement.

Nothing is imported here: most modules need TensorFlow.
"""
