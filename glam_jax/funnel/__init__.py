"""From candidate sources to a decision: which are worth their demonstrations, and why."""
