"""Pictures on disk to batches: preprocessing, HR/LR pairs, random patches, the input pipeline."""
