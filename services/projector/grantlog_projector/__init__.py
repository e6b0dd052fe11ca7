"""The follower: folds the log into a replica and collects history."""
