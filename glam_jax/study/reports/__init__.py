"""What studies found: from their run folders to tables, figures and a page."""
