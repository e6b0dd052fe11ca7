"""Generated from proto/grantlog/event; never edited."""
