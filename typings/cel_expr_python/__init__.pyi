"""CEL; everything is in the module `cel`."""
