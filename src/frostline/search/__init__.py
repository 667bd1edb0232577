"""Studies: many runs that share a database, and can be stopped, killed and gone on with."""
