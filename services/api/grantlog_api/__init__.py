"""The API service: gRPC and REST doors over the use cases."""
