"""Small runnable walks, executed by the tests."""
