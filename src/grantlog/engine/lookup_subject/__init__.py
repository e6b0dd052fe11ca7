"""LookupSubject: which subjects of a kind hold a permission on an entity?

- `sets` is the algebra: finite sets of ids and everyone but some.
- `gather` reads everything in reach of the entity but the subjects, once for all of them.
- `solve` finds for every node who may be allowed there and who is for sure.
- `lookup` reads the subjects in the order of ids, some at a time, and asks a check about those in
  between.
"""
