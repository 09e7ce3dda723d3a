"""Events that other extensions of Flask give occasion for."""
