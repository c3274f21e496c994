"""The one owner of what is on disk: files and columns, the lock, writing whole, reading strictly."""
