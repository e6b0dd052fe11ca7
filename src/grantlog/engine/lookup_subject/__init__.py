"""LookupSubject: which subjects of a kind hold a permission on an entity?

- `sets` is the algebra: finite sets of ids and everyone but some.
- `gather` reads everything in reach of the entity, once for all subjects.
- `solve` finds for every node who may be allowed there and who is for sure.
- `lookup` gives the ids in order and asks a check about those in between.
"""
