"""Generated from proto/grantlog/api/v1; never edited."""
