"""The watch service: tells watchers what happens, from one reading of the log."""
