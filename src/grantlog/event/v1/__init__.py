"""Generated from proto/grantlog/event/v1; never edited."""
