"""LoRA adapters: read, train, compare, and translate from one base model to another."""
