"""The run: batches of images, methods and metrics; rows that survive a stop; what the run ran on."""
