"""One module per site: build the request, parse the bytes; plus what providers share."""
