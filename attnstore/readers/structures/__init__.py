"""Files of the PDB: from atoms and annotations to chains, their properties, and DSSP."""
