"""What a store is made of: how results are written, large files kept once, failures and left-overs handled."""
