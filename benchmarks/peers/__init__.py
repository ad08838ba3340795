"""The other inference engines that ours is compared with, on the same weights."""
