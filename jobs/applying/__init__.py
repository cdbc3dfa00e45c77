"""The parts of an apply run, in the order in which they act: selection, checks, recovery, chunks, closing."""
