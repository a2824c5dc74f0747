"""The `aiida-limsm` command and the `verdi data limsm` group."""
