"""Translating LoRA adapters from one base model to another by anchors."""
