"""The demo: a company's workspace with two weeks behind it (`seed`), and agents that go on (`agents`)."""
