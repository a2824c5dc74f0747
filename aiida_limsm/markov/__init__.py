"""From ions on lattice sites to a Markov state model, its diffusion tensor and an error bar."""
