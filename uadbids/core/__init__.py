"""The method itself: arrays and tensors, nothing of files, BIDS or pictures."""
