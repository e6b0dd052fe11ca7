"""Generated from proto/grantlog/api; never edited."""
