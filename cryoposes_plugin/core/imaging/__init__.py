"""How images form: projections, CTF, noise, background, and what is drawn for a simulation."""
