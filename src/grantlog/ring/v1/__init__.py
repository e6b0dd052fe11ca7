"""Generated from proto/grantlog/ring/v1; never edited."""
