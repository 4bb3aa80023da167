"""The lab's page: decoding in a browser, live. Routes beside those of the server, and the files that they hand out."""
