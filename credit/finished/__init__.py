"""Finished runs used again: started from, measured again, audited."""
