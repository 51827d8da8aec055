//! ISO 9660 + Rock Ridge + Joliet.
