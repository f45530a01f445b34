"""AWS in a rehearsal: moto behind a gate of our own, and functions that run as on Lambda."""
