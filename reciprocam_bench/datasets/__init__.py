"""Images with their labels and boxes: ImageNet, plain folders, packaged samples."""
