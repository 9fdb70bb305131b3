"""What a process uses of its machine: files, temporary folders, time limits, a cluster."""
