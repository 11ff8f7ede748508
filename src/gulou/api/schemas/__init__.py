"""Pydantic schemas: what enters and leaves over HTTP, nothing else."""
