"""How many contacts change with CASP's Cα in the place of glycine's virtual Cβ: python benchmarks/glycine.py STORE."""

import sys

import numpy as np

import attnstore

columns = "protein_index, pos, aa, ca_x, ca_y, ca_z, cb_x, cb_y, cb_z"
residues = attnstore.open(sys.argv[1]).residues().select(columns).df().sort_values(["protein_index", "pos"])
pairs = virtual = alpha = gone = come = chains = 0
for _, chain in residues.groupby("protein_index"):
    ca, cb = (chain[[f"{atom}_{axis}" for axis in "xyz"]].to_numpy(float) for atom in ("ca", "cb"))
    casp = np.where((chain["aa"] == "G").to_numpy()[:, None], ca, cb)
    one, other = (np.linalg.norm(xyz[:, None] - xyz[None], axis=2) for xyz in (cb, casp))
    apart = np.triu(np.isfinite(one) & np.isfinite(other), 6)
    near, near_casp = (one < 8) & apart, (other < 8) & apart
    chains += 1
    pairs += apart.sum()
    virtual += near.sum()
    alpha += near_casp.sum()
    gone += (near & ~near_casp).sum()
    come += (near_casp & ~near).sum()
print(f"{chains:,} chains, {pairs:,} pairs of known distance six or more apart")
print(f"contacts by the virtual Cβ {virtual:,}, with Cα of glycine {alpha:,}: {gone:,} go, {come:,} come")
