"""Tasks for generative models: examples to train on and to be measured by, generated here or read from the hub."""
