"""Generated from proto/grantlog/watch; never edited."""
