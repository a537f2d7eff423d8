"""The commands that speak to a running server, over HTTP, as anybody's program would.

One file per noun: `sign_in`, `missions`, `agents`, `search`, `replay`, `board`. They share `server` (the
connection), `kept` (sign-ins on this machine), `output` (what is printed, and exit codes), `names` (who and
what an id is) and `words` (an event in a few words). `board_view` draws a board. Nothing here touches the database.
"""
