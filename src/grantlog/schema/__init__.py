"""The schema language: text to AST to a checked, compiled schema, and back to text. No I/O."""
