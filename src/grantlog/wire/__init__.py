"""Proto to model and back, REST transcoding, validation, errors to status codes."""
