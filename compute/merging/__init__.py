"""Arithmetic on task vectors: pure functions of tensors, knowing nothing of cells, files or languages."""
