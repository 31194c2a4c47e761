"""A trained policy behind a socket: the border, the limits, a client's session, the server."""
