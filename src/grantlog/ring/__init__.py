"""Generated from proto/grantlog/ring; never edited."""
