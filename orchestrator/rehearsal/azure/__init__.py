"""Azure in a rehearsal: Resource Manager, Entra, blobs and function apps."""
