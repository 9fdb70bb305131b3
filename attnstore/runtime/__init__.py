"""What a process needs of its machine: files, temporary folders, time limits, a cluster."""
