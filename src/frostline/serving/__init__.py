"""A small web page on this machine: an image in, what trained networks say of it out."""
