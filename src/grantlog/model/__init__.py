"""Values of the domain: ids, tuples, attributes, changes, revisions, tokens. No I/O."""
