"""Everything people look at: tables and pictures, made from rows."""
