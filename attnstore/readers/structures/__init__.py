"""Structure files: from atoms and annotations to chains, their properties, and DSSP."""
