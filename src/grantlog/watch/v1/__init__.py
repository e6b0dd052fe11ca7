"""Generated from proto/grantlog/watch/v1; never edited."""
