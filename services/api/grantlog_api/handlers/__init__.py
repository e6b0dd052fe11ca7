"""From wire, use case, to wire: one method per RPC, no decision about permissions."""
