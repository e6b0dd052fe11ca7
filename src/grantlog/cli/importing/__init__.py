"""`grantlog data import`: many facts through the API, resumable, nothing lost."""
