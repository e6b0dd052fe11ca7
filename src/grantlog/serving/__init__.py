"""What the doors of several services share: calls, the gRPC door, metadata, health, watching."""
