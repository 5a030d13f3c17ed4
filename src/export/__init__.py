"""Export to MindIR and running the exported model."""
