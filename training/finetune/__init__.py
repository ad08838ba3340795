"""Fine-tuning with QLoRA: training loop, losses, checkpoints, adapter card, merging, GGUF files."""
