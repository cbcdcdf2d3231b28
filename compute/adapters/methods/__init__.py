"""Translation methods: one file, one function of the same name, see compute.adapters.method."""
