"""Trajectories in H5MD: written in segments while a run goes on, read in chunks."""
