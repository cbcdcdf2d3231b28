"""Which locales resemble which (URIEL), which transfer to which (REAL), and whom to choose."""
