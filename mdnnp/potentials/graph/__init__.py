"""Graph potentials: descriptors are learned, and features travel along the edges between atoms."""
