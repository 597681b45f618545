"""AWS: where credentials come from, and how a request is signed with them."""
