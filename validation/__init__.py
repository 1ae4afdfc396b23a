"""Actual networks beside the theory: simulated in plain NumPy at finite size, exactly as the theory defines them."""
