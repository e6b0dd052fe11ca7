"""LookupEntity: which entities of a type does a subject hold a permission on?

- `shape` looks at the plan: which steps lead where, and which of them facts can bound.
- `walk` follows facts backwards from the subject through everything but the last hop.
- `merge` reads the last hop in the order of ids, from many sources at once.
- `candidates` turns what they find into ids that are allowed, or that a check must decide.
- `lookup` asks the checks.
"""
